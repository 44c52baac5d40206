#!/bin/bash -e
# Brings the packages that stand for Raspberry Pi's.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
mkdir -p "$ROOTFS_DIR/run/debs"
cp files/*.deb "$ROOTFS_DIR/run/debs"
