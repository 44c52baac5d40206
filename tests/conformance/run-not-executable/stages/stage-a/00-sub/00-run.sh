#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "no" >>"$ROOTFS_DIR/result/order"
