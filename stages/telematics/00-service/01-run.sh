#!/bin/bash -e
# Puts the service onto the image.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
