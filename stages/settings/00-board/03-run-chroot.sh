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
