#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "1-run.sh" >>"$ROOTFS_DIR/result/order"
