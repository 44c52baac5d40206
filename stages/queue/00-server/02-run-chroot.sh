systemd-sysusers queue.conf
systemctl enable queue.service
