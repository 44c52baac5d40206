#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "extra" >>"$ROOTFS_DIR/result/order"
