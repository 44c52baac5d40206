#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "prerun" >>"$ROOTFS_DIR/result/order"
