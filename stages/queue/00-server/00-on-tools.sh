#!/bin/bash -e
# Compiles the queue's server for the target, from the suite's source package with its patches.
cd "$(mktemp -d)"
dpkg-source --no-check --extract "$SOURCES"/*.dsc source
cd source

# The Makefile asks `uname -m`, which tells about the build machine.
case "$ARCH" in
  armel | armhf) machine=armv6l ;;
  arm64) machine=aarch64 ;;
  *) echo "no machine name is known for $ARCH" >&2; exit 1 ;;
esac

# libc's allocator: jemalloc fixes the page size when it is compiled, and boards differ in it.
# No TLS: the server listens on a unix socket only.
make -j "$JOBS" -C src \
  uname_S=Linux uname_M="$machine" \
  CC="${CROSS_COMPILE}gcc" CXX="${CROSS_COMPILE}g++" \
  AR="${CROSS_COMPILE}ar" RANLIB="${CROSS_COMPILE}ranlib" \
  OPTIMIZATION=-O2 CFLAGS="-ffile-prefix-map=$PWD=." \
  MALLOC=libc BUILD_TLS=no USE_SYSTEMD=no V=1 \
  "$QUEUE_SERVER-server" "$QUEUE_SERVER-cli"

for program in server cli; do
  install -D -m 755 "src/$QUEUE_SERVER-$program" "$OUT/usr/bin/$QUEUE_SERVER-$program"
  "${CROSS_COMPILE}strip" "$OUT/usr/bin/$QUEUE_SERVER-$program"
done
# The checkers are the server under another name.
ln -s "$QUEUE_SERVER-server" "$OUT/usr/bin/$QUEUE_SERVER-check-aof"
ln -s "$QUEUE_SERVER-server" "$OUT/usr/bin/$QUEUE_SERVER-check-rdb"
install -D -m 644 debian/copyright "$OUT/usr/share/doc/$QUEUE_SERVER-server/copyright"
