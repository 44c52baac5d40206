#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
update_issue my-stage
grep -c "$IMG_DATE" "$ROOTFS_DIR/etc/rpi-issue" >"$ROOTFS_DIR/result/date"
sed -n "2s/.*, //p" "$ROOTFS_DIR/etc/rpi-issue" >"$ROOTFS_DIR/result/stage"
