#!/bin/bash -e
# The package of the SSH server makes host keys when it is installed; every image would have the
# same ones. Where a file of that name stands it makes none, so these stand in until it is done.
install -d "$ROOTFS_DIR/etc/ssh"
for kind in rsa ecdsa ed25519; do
  touch "$ROOTFS_DIR/etc/ssh/ssh_host_${kind}_key" "$ROOTFS_DIR/etc/ssh/ssh_host_${kind}_key.pub"
done
