#!/bin/bash -e
if [ ! -d "$ROOTFS_DIR" ]; then copy_previous; fi
echo UTC >"$ROOTFS_DIR/etc/own-zone"
