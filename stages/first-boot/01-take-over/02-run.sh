#!/bin/bash -e
# Puts the programs and the owner's file onto the image. The file has the line ends that every
# editor shows as such, on Windows too.
cp -a "$TOOLS_OUT_00/." "$ROOTFS_DIR/"
template="$ROOTFS_DIR/usr/share/glovebox/glovebox.yaml"
sed -i 's/$/\r/' "$template"
install -D -m 644 "$template" "$ROOTFS_DIR/boot/firmware/glovebox.yaml"
# Where a screen shows the name until the board is set up, config.txt asks for this file.
screen=glovebox-screen.txt
if grep -qsx "include $screen" "$ROOTFS_DIR"/etc/glovebox/config.txt.d/*; then
  install -m 644 "$ROOTFS_DIR/usr/share/glovebox/$screen" "$ROOTFS_DIR/boot/firmware/$screen"
fi
