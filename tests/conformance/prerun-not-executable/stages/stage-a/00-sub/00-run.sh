#!/bin/bash -e
[ -d "$ROOTFS_DIR" ] || copy_previous
mkdir -p "$ROOTFS_DIR/result"
echo "sub" >>"$ROOTFS_DIR/result/order"
