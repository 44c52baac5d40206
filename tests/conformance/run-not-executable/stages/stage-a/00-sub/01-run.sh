#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "yes" >>"$ROOTFS_DIR/result/order"
