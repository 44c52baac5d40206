mkdir -p /result
dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' from-elsewhere >/result/said
apt-get install --yes --reinstall from-elsewhere >/dev/null
