#!/bin/bash -e
# Units of Raspberry Pi OS that a car has no use for.
units=(
  # Nothing here asks the hardware database; making it takes a Zero half a minute.
  systemd-hwdb-update.service
  # It would ask each serial receiver whether it is a modem, and gpsd reads the answers.
  ModemManager.service
)
for unit in "${units[@]}"; do
  ln -sf /dev/null "$ROOTFS_DIR/etc/systemd/system/$unit"
done
