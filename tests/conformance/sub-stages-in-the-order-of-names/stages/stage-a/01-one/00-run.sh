#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "01-one" >>"$ROOTFS_DIR/result/order"
