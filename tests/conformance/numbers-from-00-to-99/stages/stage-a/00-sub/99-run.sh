#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "99-run.sh" >>"$ROOTFS_DIR/result/order"
