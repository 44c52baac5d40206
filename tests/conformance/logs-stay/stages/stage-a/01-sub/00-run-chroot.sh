mkdir -p /result
cat /var/log/mine.txt /var/tmp/mine.txt /root/.cache/mine.txt >/result/said
