#!/bin/bash -e
# Compiles the home, and what it reads records with, to bytecode: see the stage telematics.
target="$OUT/usr/lib/python3/dist-packages"
install -d -m 755 "$target/telematics" "$OUT/usr/bin"
cp -R --no-preserve=all "$SOURCES/home" "$target/"
rm -f "$target/home/map/built.html"  # made on this machine, of whatever was there then
install -m 644 -t "$target/telematics" "$SOURCES"/*.py "$SOURCES"/*.json
install -m 755 "$SOURCES/home.launcher" "$OUT/usr/bin/home"
chmod -R u=rwX,go=rX "$OUT"
python3 -m compileall -q --invalidation-mode unchecked-hash -s "$OUT" -p / \
  "$target/home" "$target/telematics"
