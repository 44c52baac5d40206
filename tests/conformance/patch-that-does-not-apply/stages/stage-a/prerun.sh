#!/bin/bash -e
if [ ! -d "$ROOTFS_DIR" ]; then copy_previous; fi
echo other >"$ROOTFS_DIR/etc/greeting"
