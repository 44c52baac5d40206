#!/bin/bash -e
if [ ! -d "$ROOTFS_DIR" ]; then copy_previous; fi
mkdir -p "$ROOTFS_DIR/result"
echo "prerun in $(basename "$PWD")" >>"$ROOTFS_DIR/result/order"
