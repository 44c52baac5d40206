#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "50-run.sh" >>"$ROOTFS_DIR/result/order"
