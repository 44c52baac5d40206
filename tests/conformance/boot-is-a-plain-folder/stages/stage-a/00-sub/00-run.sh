#!/bin/bash -e
install -d "$ROOTFS_DIR/boot/firmware"
echo dtparam=audio=off >>"$ROOTFS_DIR/boot/firmware/config.txt"
