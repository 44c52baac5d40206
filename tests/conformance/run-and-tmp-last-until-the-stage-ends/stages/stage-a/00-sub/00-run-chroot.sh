echo kept >/tmp/left
echo kept >/run/left
