systemd-sysusers telematics.conf
install -d -m 700 /etc/glovebox/publish
install -d -m 755 -o telematics -g telematics /var/lib/telematics
systemctl enable telematics.service telematics-publish.service
systemctl enable telematics-clock.service telematics-clock.timer
# chrony does not go by the receiver until telematics-trust.service has looked at what it says: a
# receiver can be wrong by 1,024 weeks, and where it is the only source nobody contradicts it. Before
# trixie chrony cannot be told so while it runs.
if [ -e /etc/chrony/conf.d/gnss.conf ] && grep -q selectopts /usr/bin/chronyc; then
  systemctl enable telematics-trust.path
  sed -i '/^refclock SHM 0 /{ / noselect/!s/$/ noselect/; }' /etc/chrony/conf.d/gnss.conf
fi
