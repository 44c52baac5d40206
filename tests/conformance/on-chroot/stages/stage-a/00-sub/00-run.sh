#!/bin/bash -e
on_chroot <<WORDS
mkdir -p /result
echo "$STAGE" >/result/order
WORDS
on_chroot -c "echo \$STAGE second >>/result/order"
if on_chroot -c "false; true"; then exit 1; fi
echo stopped >>"$ROOTFS_DIR/result/order"
