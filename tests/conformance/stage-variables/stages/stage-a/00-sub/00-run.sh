#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
{
  echo "$STAGE"
  echo "${STAGE_DIR##*/}"
  echo "${STAGE_WORK_DIR#"$WORK_DIR/"}"
  echo "${ROOTFS_DIR#"$STAGE_WORK_DIR/"}"
  basename "$PWD"
} >"$ROOTFS_DIR/result/said"
