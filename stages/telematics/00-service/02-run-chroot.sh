systemd-sysusers telematics.conf
systemctl enable telematics.service
