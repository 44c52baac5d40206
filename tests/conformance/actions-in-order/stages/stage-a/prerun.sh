#!/bin/bash -e
if [ ! -d "$ROOTFS_DIR" ]; then copy_previous; fi
mkdir -p "$ROOTFS_DIR/result"
echo before >"$ROOTFS_DIR/result/patched"
