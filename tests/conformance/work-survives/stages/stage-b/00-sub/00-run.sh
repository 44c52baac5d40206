#!/bin/bash -e
cp "$WORK_DIR/$PREV_STAGE/left" "$ROOTFS_DIR/result/next-stage"
find "$WORK_DIR/$PREV_STAGE" -maxdepth 1 -type f -printf "%f\n" >"$ROOTFS_DIR/result/list"
