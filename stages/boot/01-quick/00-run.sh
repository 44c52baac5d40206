#!/bin/bash -e
# Leaves out of the start what a board in a vehicle has no use for. Each costs an emulated Zero a
# second or more, and most are forks that a real one notices too.
units=(
  # The board is not updated behind its owner's back, nor while it drives.
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
  # There are no LVM snapshots to check, and what is trimmed is stated in the stage `car`.
  e2scrub_all.timer e2scrub_reap.service fstrim.timer
  # No programs for other processors, no crash dumps in EFI variables, no huge pages.
  systemd-binfmt.service proc-sys-fs-binfmt_misc.automount systemd-pstore.service
  dev-hugepages.mount dev-mqueue.mount
  # File systems for those who debug a kernel: `mount -t debugfs none /sys/kernel/debug`.
  sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
  sys-fs-fuse-connections.mount
)
for unit in "${units[@]}"; do
  ln -sf /dev/null "$ROOTFS_DIR/etc/systemd/system/$unit"
done
# NetworkManager starts it by D-Bus when there is a radio to use.
rm -f "$ROOTFS_DIR/etc/systemd/system/multi-user.target.wants/wpa_supplicant.service"
