#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
for name in bootstrap copy_previous ensure_loopdev_partitions ensure_next_loopdev log on_chroot unmount unmount_image update_issue; do
  printf "%s %s\n" "$name" "$(type -t "$name")"
done >"$ROOTFS_DIR/result/functions"
