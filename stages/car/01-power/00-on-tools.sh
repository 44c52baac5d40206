#!/bin/bash -e
# Compiles our overlays: Raspberry Pi's do nothing to Debian's device trees, which have the labels of
# their nodes (__symbols__) but no parameters (__overrides__).
compile() {
  install -d -m 755 "$2"
  for source in "$1"/*.dts; do
    name=$(basename "$source" .dts)
    case $name in
      glovebox-latch) pin=$POWER_LATCH_PIN ;;
      glovebox-pps) pin=$PPS_PIN ;;
      *) pin=none ;;
    esac
    if [ -z "$pin" ]; then continue; fi
    sed "s/@LATCH_PIN@\|@PPS_PIN@/$pin/" "$source" |
      dtc --symbols --in-format dts --out-format dtb --out "$2/$name.dtbo" -
  done
}
target="$OUT/boot/firmware/overlays"
compile "$SOURCES/files" "$target"
compile "$SOURCES/files/pi5" "$target/pi5"
