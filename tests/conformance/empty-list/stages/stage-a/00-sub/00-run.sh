#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "run" >>"$ROOTFS_DIR/result/order"
