#!/bin/bash -e
# Puts the board's own programs onto the image.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
