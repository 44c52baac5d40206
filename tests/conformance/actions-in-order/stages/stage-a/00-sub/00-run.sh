#!/bin/bash -e
cat "$ROOTFS_DIR/result/patched" >>"$ROOTFS_DIR/result/order"
mkdir -p "$ROOTFS_DIR/result"
echo "run" >>"$ROOTFS_DIR/result/order"
