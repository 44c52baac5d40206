systemd-sysusers telematics.conf
install -d -m 700 /etc/glovebox/publish
install -d -m 755 -o telematics -g telematics /var/lib/telematics
systemctl enable telematics.service telematics-publish.service
systemctl enable telematics-clock.service telematics-clock.timer telematics-trust.path
# chrony does not go by the receiver until telematics-trust.service has looked at what it says: a
# receiver can be wrong by 1,024 weeks, and where it is the only source nobody contradicts it.
if [ -e /etc/chrony/conf.d/gnss.conf ]; then
  sed -i '/^refclock SHM 0 /{ / noselect/!s/$/ noselect/; }' /etc/chrony/conf.d/gnss.conf
fi
