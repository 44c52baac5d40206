ls /tmp/left /run/left >/result/next-stage 2>/dev/null || true
