#!/bin/bash -e
# Puts the compiled locale onto the image, and closes what holds secrets.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
chmod 440 "$ROOTFS_DIR/etc/sudoers.d/010-first-user"
find "$ROOTFS_DIR/etc/NetworkManager/system-connections" -type f -exec chmod 600 {} +
# Empty: the board makes its own at its first boot.
: >"$ROOTFS_DIR/etc/machine-id"
chmod 444 "$ROOTFS_DIR/etc/machine-id"
# Without these every first boot makes the linker's cache, the catalogue of messages and more anew,
# see systemd-update-done.service(8). What is in the image is up to date.
for folder in etc var; do
  echo "# Made when the image was built; see systemd-update-done.service(8)." >"$ROOTFS_DIR/$folder/.updated"
done
