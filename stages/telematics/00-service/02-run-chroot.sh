systemd-sysusers telematics.conf
install -d -m 700 /etc/glovebox/publish
install -d -m 755 -o telematics -g telematics /var/lib/telematics
systemctl enable telematics-clock.service telematics.service telematics-publish.service
