#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "sub" >>"$ROOTFS_DIR/result/order"
