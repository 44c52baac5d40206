#!/bin/bash -e
# Puts the compiled overlays where the firmware looks for them.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
