#!/bin/bash -e
# What the image would do at its first start is done by ours, so that nothing happens twice: what
# does it there is taken out by the name it was found under.
boot="$ROOTFS_DIR/boot/firmware"
replaced="$ROOTFS_DIR/etc/glovebox/replaced"

drop_word() {
  WORD=$1 awk '{ line = ""
    for (n = 1; n <= NF; n++) if ($n != ENVIRON["WORD"]) line = line (line == "" ? "" : " ") $n
    print line }' "$boot/cmdline.txt" >"$boot/cmdline.new"
  cat "$boot/cmdline.new" >"$boot/cmdline.txt"
  rm "$boot/cmdline.new"
}

mask() {
  install -d "$ROOTFS_DIR/etc/systemd/$1"
  ln -sf /dev/null "$ROOTFS_DIR/etc/systemd/$1/$2"
}

# A word that comes back, copied from another card, finds no program: then systemd begins.
for program in raspberrypi-sys-mods/firstboot raspi-config/init_resize.sh; do
  if [ -e "$ROOTFS_DIR/usr/lib/$program" ]; then chmod a-x "$ROOTFS_DIR/usr/lib/$program"; fi
done

if [ ! -e "$replaced" ]; then exit 0; fi
while IFS=$'\t' read -r how name _; do
  case $how in
    word) drop_word "$name" ;;
    unit) mask system "$name" ;;
    generator) mask system-generators "$name" ;;
    file) rm -f "$boot/$name" ;;
    script) ;; # the hook zz-glovebox keeps it out of the initramfs
  esac
done <"$replaced"
# The way cloud-init itself names; what it has left to say is said by nothing then.
if [ -d "$ROOTFS_DIR/etc/cloud" ]; then touch "$ROOTFS_DIR/etc/cloud/cloud-init.disabled"; fi
