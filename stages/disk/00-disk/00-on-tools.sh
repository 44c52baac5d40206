#!/bin/bash -e
# Compiles what runs on the board to bytecode, as the stage telematics does with the service.
target="$OUT/usr/lib/python3/dist-packages"
install -D -m 644 "$SOURCES/grow.py" "$target/glovebox/onboard/grow.py"
chmod -R u=rwX,go=rX "$OUT"
python3 -m compileall -q --invalidation-mode unchecked-hash -s "$OUT" -p / "$target/glovebox"
