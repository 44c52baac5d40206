#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "10-ten" >>"$ROOTFS_DIR/result/order"
