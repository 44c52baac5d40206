#!/bin/bash -e
# Puts the compiled locale onto the image, and closes what holds secrets.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
chmod 440 "$ROOTFS_DIR/etc/sudoers.d/010-first-user"
find "$ROOTFS_DIR/etc/NetworkManager/system-connections" -type f -exec chmod 600 {} +
