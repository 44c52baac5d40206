#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "b" >>"$ROOTFS_DIR/result/order"
