mkdir -p /result
sed -n '/^Name: tzdata.\(Areas\|Zones.Etc\)$/,/^$/s/^Value: //p' /var/cache/debconf/config.dat >/result/answers
