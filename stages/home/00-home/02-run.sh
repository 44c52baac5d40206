#!/bin/bash -e
# Puts the home onto the image, with the map's page: npm brings what it is made of, by the hashes of
# the lock file beside it, and a home that ran on this machine has that already.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
modules="$ROOTFS_DIR/usr/lib/python3/dist-packages"
XDG_CACHE_HOME=$(mktemp -d)
export XDG_CACHE_HOME
trap 'rm -rf "$XDG_CACHE_HOME"' EXIT
mkdir -p "$XDG_CACHE_HOME/glovebox"
if [ -d "$HOME/.cache/glovebox/home" ]; then
  cp -a "$HOME/.cache/glovebox/home" "$XDG_CACHE_HOME/glovebox/"
fi
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$modules" python3 -m home.map.page "$modules/home/map/built.html"
chmod 644 "$modules/home/map/built.html"
