# The first user, who gets in by key; the values are rendered from image.yaml for this step.
# shellcheck source=/dev/null
. /run/settings.sh
: "${user:?}" "${timezone:?}" "${disk_id:?}" "${boot:?}" "${authorized_keys?}"
# It names those that are there.
groups=$(getent group adm dialout sudo video netdev plugdev systemd-journal | cut -d: -f1 | paste -sd,)
# An image used as base may have the user already.
id -u "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --user-group "$user"
usermod --append --groups "$groups" "$user"
if [ -n "${password_hash:-}" ]; then
  usermod --password "$password_hash" "$user"
fi
if [ -n "$authorized_keys" ]; then
  install -d -m 700 -o "$user" -g "$user" "/home/$user/.ssh"
  printf '%s\n' "$authorized_keys" >"/home/$user/.ssh/authorized_keys"
  chmod 600 "/home/$user/.ssh/authorized_keys"
  chown "$user:$user" "/home/$user/.ssh/authorized_keys"
fi
passwd --quiet --lock root

# Files of which a stage may have written lines: those stay, behind ours.
ours=/run/settings
touch /etc/fstab /etc/hosts /etc/hostname
if [ -n "${whole:-}" ] || ! grep -qE '^PARTUUID=[0-9a-f]{8}-02\s+/\s' /etc/fstab; then
  awk -v boot="/$boot" '
    FNR == NR { if ($0 !~ /^#/) mine[$2] = 1; next }
    NF > 1 && $0 !~ /^#/ && $2 != "/" && $2 != boot && !($2 in mine)' \
    "$ours/fstab" /etc/fstab >"$ours/more"
  cat "$ours/fstab" "$ours/more" >/etc/fstab
else
  # A stock image's own, but for the disk's identifier.
  sed -i "s/^PARTUUID=[0-9a-f]\{8\}-/PARTUUID=$disk_id-/" /etc/fstab
fi
# A name that is ours, or that the board had before, means no other address.
awk -v old="$(cat /etc/hostname)" '
  FNR == NR { for (n = 2; n <= NF; n++) mine[$n] = 1; next }
  { line = ""
    for (n = 2; n <= NF && $1 !~ /^#/ && $n !~ /^#/; n++)
      if (!($n in mine) && $n != old) line = line " " $n
    if (line != "") print $1 line }' \
  "$ours/hosts" /etc/hosts >"$ours/more"
cat "$ours/hosts" "$ours/more" >/etc/hosts
cat "$ours/hostname" >/etc/hostname
for theirs in /etc/default/locale /etc/locale.conf; do
  if [ -f "$theirs" ]; then break; fi
done
if [ -f "$theirs" ]; then
  awk -F = 'FNR == NR { mine[$1] = 1; next } $0 !~ /^#/ && NF > 1 && !($1 in mine)' \
    "$ours/locale.conf" "$theirs" >"$ours/more"
  cat "$ours/more" >>"$ours/locale.conf"
fi
install -m 644 "$ours/locale.conf" /etc/locale.conf
# A variant that a stage chose belongs to its layout.
if ! grep -qsFx "$(grep ^XKBLAYOUT= "$ours/keyboard")" /etc/default/keyboard; then
  install -m 644 "$ours/keyboard" /etc/default/keyboard
fi
# What stages logged while they were built is nothing the board did.
find /var/log -type f -size +0 -exec truncate --size 0 {} +

if [ ! -e "/usr/share/zoneinfo/$timezone" ]; then
  echo "image.yaml: timezone: '$timezone' is unknown to the suite's tzdata" >&2
  exit 1
fi
ln -sfn "/usr/share/zoneinfo/$timezone" /etc/localtime

# systemd's tmpfiles.d makes this link at every boot, over whatever stands there.
ln -sfn ../locale.conf /etc/default/locale

# The disk's identifier is known last: it follows from everything below this layer.
sed -i -e "s/PARTUUID=[0-9a-f]\{8\}-02/PARTUUID=$disk_id-02/" \
  -e "s/root=ROOTDEV\b/root=PARTUUID=$disk_id-02/" "/$boot/cmdline.txt"  # ROOTDEV: pi-gen's word
if [ -e /etc/default/raspi-firmware ]; then
  sed -i "s/PARTUUID=[0-9a-f]\{8\}-02/PARTUUID=$disk_id-02/" /etc/default/raspi-firmware
fi

# Empty: the board makes its own at its first boot. A stock image may say so by a word, by which
# systemd knows the first start, see machine-id(5): on it waits what grows its root file system.
if [ -n "${whole:-}" ] || [ "$(cat /etc/machine-id 2>/dev/null)" != uninitialized ]; then
  : >/etc/machine-id
  chmod 444 /etc/machine-id
fi

if [ -n "${whole:-}" ]; then
  # Without these every first boot makes the linker's cache, the catalogue of messages and more
  # anew, see systemd-update-done.service(8). What is in the image is up to date.
  for folder in etc var; do
    echo "# Made when the image was built; see systemd-update-done.service(8)." >"/$folder/.updated"
  done
fi
