#!/bin/bash -e
# Leaves out of the start what a board in a vehicle has no use for. Each costs an emulated Zero a
# second or more, and most are forks that a real one notices too.

# Tells whether each script of the old kind has a unit of its name.
without_scripts() {
  for script in "$ROOTFS_DIR"/etc/init.d/*; do
    if [ ! -x "$script" ]; then continue; fi
    name=$(basename "$script" .sh)
    for folder in etc usr/lib; do
      if [ -e "$ROOTFS_DIR/$folder/systemd/system/$name.service" ] ||
        [ -L "$ROOTFS_DIR/$folder/systemd/system/$name.service" ]; then continue 2; fi
    done
    return 1
  done
}

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
  # No card reader of graphics for a login manager; udev loads the driver where a screen is.
  modprobe@drm.service
  # Nobody hands rules over to a board like this; static device nodes: see not-yet.service.
  systemd-udev-load-credentials.service
  kmod-static-nodes.service systemd-tmpfiles-setup-dev-early.service
  systemd-tmpfiles-setup-dev.service
)
for unit in "${units[@]}"; do
  ln -sf /dev/null "$ROOTFS_DIR/etc/systemd/system/$unit"
done
# NetworkManager starts it by D-Bus when there is a radio to use.
rm -f "$ROOTFS_DIR/etc/systemd/system/multi-user.target.wants/wpa_supplicant.service"

# Each of these is a program that systemd starts and waits for, and none has anything to say here:
# no GPT, no sleep to come back from, no TPM, no virtual machine, no update while the system is off.
generators=(gpt-auto hibernate-resume run ssh system-update tpm2)
# Raspberry Pi Imager, told to run a script at the first start, names a target that only the generator
# `run` would make; without one the board would end in rescue mode. The script is read, not run, by
# the stage `first-boot`.
ln -sf /usr/lib/systemd/system/multi-user.target \
  "$ROOTFS_DIR/etc/systemd/system/kernel-command-line.target"
# These read what a foreign base may have.
if [ ! -e "$ROOTFS_DIR/etc/rc.local" ]; then generators+=(rc-local); fi
if without_scripts; then generators+=(sysv); fi
install -d "$ROOTFS_DIR/etc/systemd/system-generators"
for each in "${generators[@]}"; do
  ln -sf /dev/null "$ROOTFS_DIR/etc/systemd/system-generators/systemd-$each-generator"
done
# A list without a module in it starts a program too.
if ! grep -qs '^[[:space:]]*[^#[:space:]]' "$ROOTFS_DIR/etc/modules"; then
  rm -f "$ROOTFS_DIR/etc/modules-load.d/modules.conf"
fi
