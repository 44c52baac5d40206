mkdir -p /result
for name in libjs-hooker libjs-getobject; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) || true
  if [ "$status" = installed ]; then echo installed; else echo no; fi
done >/result/said
