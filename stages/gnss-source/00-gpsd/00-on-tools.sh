#!/bin/bash -e
# Compiles the daemon alone for the target: Debian's source with its patches, or a release by address.
cd "$(mktemp -d)"
if ls "$SOURCES"/*.dsc >/dev/null 2>&1; then
  dpkg-source --no-check --extract "$SOURCES"/*.dsc source
else
  mkdir source
  tar --extract --strip-components=1 --directory=source --file "$(echo "$SOURCES"/*)"
fi
cd source

# Without the parts that need libraries of the target; a board reads its receiver from a serial port.
scons -j "$JOBS" --quiet \
  target="${CROSS_COMPILE%-}" prefix=/usr release=source \
  bluez=no dbus_export=no gpsdclients=no libgpsmm=no manbuild=no ncurses=no python=no qt=no \
  shared=no usb=no \
  build

install -D -m 755 gpsd-*/gpsd/gpsd "$OUT/usr/sbin/gpsd"
"${CROSS_COMPILE}strip" "$OUT/usr/sbin/gpsd"
