#!/bin/bash -e
# Compiles the service to bytecode with the suite's own Python, which is quick here and slow on the
# target. Unchecked: the root file system of a car is read-only, so the source cannot change.
target="$OUT/usr/lib/python3/dist-packages"
install -d -m 755 "$target" "$OUT/usr/bin" "$OUT/etc/systemd/system"
cp -R --no-preserve=all "$SOURCES/telematics" "$target/"
install -m 755 "$SOURCES/telematics.launcher" "$OUT/usr/bin/telematics"
install -m 644 -t "$OUT/etc/systemd/system" "$SOURCES"/*.service "$SOURCES"/*.path "$SOURCES"/*.timer
chmod -R u=rwX,go=rX "$OUT"
python3 -m compileall -q --invalidation-mode unchecked-hash -s "$OUT" -p / "$target/telematics"
