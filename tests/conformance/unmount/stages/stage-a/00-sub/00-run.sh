#!/bin/bash -e
mkdir -p "$STAGE_WORK_DIR/place/inner" "$ROOTFS_DIR/result"
mount -t tmpfs none "$STAGE_WORK_DIR/place"
mkdir "$STAGE_WORK_DIR/place/inner"
mount -t tmpfs none "$STAGE_WORK_DIR/place/inner"
unmount "$STAGE_WORK_DIR/place"
grep -c "$STAGE_WORK_DIR/place" /proc/self/mounts >"$ROOTFS_DIR/result/left" || true
