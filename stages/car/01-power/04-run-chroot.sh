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
