#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "run.sh" >>"$ROOTFS_DIR/result/order"
