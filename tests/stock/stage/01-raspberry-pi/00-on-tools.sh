#!/bin/bash -e
# Makes the locale of Raspberry Pi OS; emulated it would take half a minute.
mkdir -p "$OUT/usr/lib/locale"
localedef --no-archive --little-endian --inputfile en_GB --charmap UTF-8 \
  "$OUT/usr/lib/locale/en_GB.utf8"
