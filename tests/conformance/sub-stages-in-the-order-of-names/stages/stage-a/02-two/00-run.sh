#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "02-two" >>"$ROOTFS_DIR/result/order"
