#!/bin/bash -e
# Compiles what takes over the owner's settings, with the modules of the builder that check them.
# The service's stage brings the rest of its package; what is here twice is the same.
target="$OUT/usr/lib/python3/dist-packages"
install -d -m 755 "$target/glovebox" "$target/telematics"
cp -R --no-preserve=all "$SOURCES/firstboot" "$target/"
for name in config rules reader yamltree problem keyfile; do
  install -m 644 "$SOURCES/$name.py" "$target/glovebox/"
done
install -m 644 "$SOURCES/settings.py" "$SOURCES/files.py" "$target/telematics/"
chmod -R u=rwX,go=rX "$OUT"
python3 -m compileall -q --invalidation-mode unchecked-hash -s "$OUT" -p / \
  "$target/firstboot" "$target/glovebox" "$target/telematics"
