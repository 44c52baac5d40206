#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "02_run.sh" >>"$ROOTFS_DIR/result/order"
