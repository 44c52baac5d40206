#!/bin/bash -e
if [ ! -d "$ROOTFS_DIR" ]; then copy_previous; fi
mkdir -p "$ROOTFS_DIR/result"
echo "prerun" >>"$ROOTFS_DIR/result/order"
