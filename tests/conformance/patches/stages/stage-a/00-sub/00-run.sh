#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
cat "$STAGE_WORK_DIR/00-sub-pc/applied-patches" >"$ROOTFS_DIR/result/applied"
readlink "$STAGE_WORK_DIR/.pc" >>"$ROOTFS_DIR/result/applied"
