systemd-sysusers home.conf
# 711: whoever logs in may see that there is a password, and read nothing.
chown root:home /var/lib/home
install -d -m 711 -o home -g home /var/lib/home /var/lib/home/secrets
install -d -m 700 -o home -g home /var/lib/home/keys /var/lib/home/data
chown home:home /var/lib/home/home.yaml
chmod 640 /var/lib/home/home.yaml
systemctl enable home.service
