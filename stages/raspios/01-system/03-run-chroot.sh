# Host keys belong to one board, not to an image.
rm -f /etc/ssh/ssh_host_*
systemctl enable glovebox-host-keys.service ssh.service NetworkManager.service avahi-daemon.service chrony.service

# chrony took the place of systemd-timesyncd, whose links stay when its package goes.
find /etc/systemd/system -lname '*/systemd-timesyncd.service' -delete

# It would wake the board once a minute to look whether there is something to do.
if [ -e /usr/lib/systemd/system/cron.service ]; then systemctl disable cron.service; fi

# Where its NetworkManager goes by netplan, networks that are made on the board lie there.
if [ -d /etc/netplan ]; then
  mkdir -p /usr/lib/glovebox/kept-folders.d
  echo '/etc/netplan    network/netplan' >/usr/lib/glovebox/kept-folders.d/netplan
fi

# Its first user gets the name of image.yaml, as its own userconf would do it: number, home and
# groups stay.
old=$(getent passwd 1000 | cut -d: -f1)
if [ -n "$old" ] && [ "$old" != "$FIRST_USER_NAME" ]; then
  if getent passwd "$FIRST_USER_NAME" || getent group "$FIRST_USER_NAME"; then
    echo "image.yaml: user.name: '$FIRST_USER_NAME' is an account or a group of the image already" >&2
    exit 1
  fi
  usermod --login "$FIRST_USER_NAME" --home "/home/$FIRST_USER_NAME" --move-home "$old"
  groupmod --new-name "$FIRST_USER_NAME" "$old"
  for each in /etc/subuid /etc/subgid; do
    if [ -e "$each" ]; then sed -i "s/^$old:/$FIRST_USER_NAME:/" "$each"; fi
  done
fi
# Who may use sudo is in 010-first-user (stage `settings`).
rm -f /etc/sudoers.d/010_pi-nopasswd /etc/sudoers.d/90-cloud-init-users
# Until there is a user it greets with a warning and has no console to log in at.
rm -f /etc/ssh/sshd_config.d/rename_user.conf
systemctl enable getty@tty1.service
