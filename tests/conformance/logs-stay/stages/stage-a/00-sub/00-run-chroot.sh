mkdir -p /var/log/mine /root/.cache/mine
for folder in /var/log /var/tmp /root/.cache; do echo "$folder" >"$folder/mine.txt"; done
