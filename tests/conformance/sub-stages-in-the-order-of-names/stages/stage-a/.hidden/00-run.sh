#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo ".hidden" >>"$ROOTFS_DIR/result/order"
