mkdir -p /result
echo "[$NEVER_SET]" >/result/said
