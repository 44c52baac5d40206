#!/bin/bash -e
# Puts the interpreter beside Debian's own, which stays what it is.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
