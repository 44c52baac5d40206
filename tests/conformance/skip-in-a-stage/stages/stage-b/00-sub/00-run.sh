#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "$PREV_STAGE ${PREV_STAGE_DIR##*/}" >"$ROOTFS_DIR/result/before"
