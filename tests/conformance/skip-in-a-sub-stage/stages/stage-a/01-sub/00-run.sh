#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "kept" >>"$ROOTFS_DIR/result/order"
