#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "00-run.sh" >>"$ROOTFS_DIR/result/order"
