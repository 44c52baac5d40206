# Debian's own daemon steps aside, and an update of its package will not come back over this one.
dpkg-divert --local --rename --divert /usr/sbin/gpsd.debian --add /usr/sbin/gpsd
