# Each of these is there where image.yaml asks for it.
for unit in glovebox-told.path glovebox-state.path glovebox-off-pin.service; do
  if [ -e "/etc/systemd/system/$unit" ]; then systemctl enable "$unit"; fi
done

# A radio that follows the recorder has no other master: this one gives each radio that comes the
# state it had when it went, whatever the vehicle does since.
if grep -qs '^radio=standing' /etc/glovebox/state.conf; then
  systemctl mask systemd-rfkill.socket systemd-rfkill.service
fi

# Debian's kernel for a Zero W ticks 250 times a second, idle or not. With timers finer than that,
# each tick is one of them, to be queued and found again; without, the tick is the clock's own.
if grep -qs '^CONFIG_HZ_PERIODIC=y' /boot/config-*; then
  echo highres=off >/etc/glovebox/cmdline.txt.d/25-ticks
fi

# Raspberry Pi OS would set one when it starts, whichever the kernel was told of.
if grep -qs '^cpufreq.default_governor=' /etc/glovebox/cmdline.txt.d/20-power; then
  for each in /usr/lib/systemd/system/raspi-config.service /etc/init.d/raspi-config; do
    if [ -e "$each" ]; then systemctl mask raspi-config.service; fi
  done
fi

# Where no screen is wanted its driver is not loaded, so its overlay has nothing to do: with it the
# firmware could make no picture either, which shows the name of a board that is not set up.
if grep -qsx 'hdmi_ignore_hotplug=1' /etc/glovebox/config.txt.d/20-power.txt &&
  [ -e /boot/firmware/config.txt ]; then
  sed -i 's/^dtoverlay=vc4-f\?kms-v3d/# power.hdmi: false, so not &/' /boot/firmware/config.txt
fi
