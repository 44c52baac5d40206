#!/bin/bash -e
# Puts the compiled daemon in its place; units, rules and tools stay those of Debian's package.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
