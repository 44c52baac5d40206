#!/bin/bash -e
# Puts the compiled server onto the image.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
