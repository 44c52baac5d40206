#!/bin/bash -e
# A kernel out of the backports gets its fixes there: apt on the board has to know of them. Nothing
# else is taken from there, since apt prefers the suite's own packages.
case "$KERNEL_PACKAGE" in
  */*) suite=${KERNEL_PACKAGE#*/} ;;
  *) exit 0 ;;
esac
awk -v suite="$suite" '$1 == "deb" { $3 = suite; print; exit }' "$ROOTFS_DIR/etc/apt/sources.list" \
  >"$ROOTFS_DIR/etc/apt/sources.list.d/$suite.list"
