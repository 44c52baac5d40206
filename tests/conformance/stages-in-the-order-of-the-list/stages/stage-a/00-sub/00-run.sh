#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "a" >>"$ROOTFS_DIR/result/order"
