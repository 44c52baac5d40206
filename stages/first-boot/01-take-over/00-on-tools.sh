#!/bin/bash -e
# Compiles what takes over the owner's settings, with the modules of the builder that check them.
# The service's stage brings the rest of its package; what is here twice is the same.
target="$OUT/usr/lib/python3/dist-packages"
install -d -m 755 "$target/glovebox/config" "$target/glovebox/onboard" "$target/telematics"
cp -R --no-preserve=all "$SOURCES/firstboot" "$target/glovebox/onboard/"
for path in "$SOURCES"/*.py; do
  case ${path##*/} in
    settings.py | address.py | files.py) install -m 644 "$path" "$target/telematics/" ;;
    *) install -m 644 "$path" "$target/glovebox/config/" ;;
  esac
done
chmod -R u=rwX,go=rX "$OUT"
python3 -m compileall -q --invalidation-mode unchecked-hash -s "$OUT" -p / \
  "$target/glovebox" "$target/telematics"
