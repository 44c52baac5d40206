#!/bin/bash -e
[ -x "$ROOTFS_DIR/usr/bin/dpkg" ]
mkdir -p "$ROOTFS_DIR/result"
echo "root" >>"$ROOTFS_DIR/result/order"
