systemctl enable glovebox-grow.service glovebox-warnings.timer
mkdir -p /data
# Nothing of this is left at the next start (a seed for random numbers; the journal's folder on a
# disk), or is done by the initramfs (how the root is mounted).
systemctl mask systemd-random-seed.service systemd-journal-flush.service systemd-remount-fs.service
