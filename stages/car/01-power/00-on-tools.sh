#!/bin/bash -e
# Compiles our overlays: Raspberry Pi's do nothing to Debian's device trees, which have the labels of
# their nodes (__symbols__) but no parameters (__overrides__).
target="$OUT/boot/firmware/overlays"
install -d -m 755 "$target"
for source in "$SOURCES"/files/*.dts; do
  name=$(basename "$source" .dts)
  if [ "$name" = glovebox-latch ] && [ -z "$POWER_LATCH_PIN" ]; then
    continue
  fi
  sed "s/@LATCH_PIN@/$POWER_LATCH_PIN/" "$source" |
    dtc --symbols --in-format dts --out-format dtb --out "$target/$name.dtbo" -
done
