#!/bin/bash -e
rm "$STAGE_WORK_DIR/removed"
mkdir -p "$ROOTFS_DIR/result"
cp "$STAGE_WORK_DIR/left" "$ROOTFS_DIR/result/same-stage"
