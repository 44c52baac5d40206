#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
{
  [ "$IMG_FILENAME" = "$IMG_DATE-$IMG_NAME" ] && echo file name
  [ "$ARCHIVE_FILENAME" = "image_$IMG_DATE-$IMG_NAME" ] && echo archive name
  [ "$LOG_FILE" = "$WORK_DIR/build.log" ] && echo log
  [ "$SCRIPT_DIR" = "$BASE_DIR/scripts" ] && echo scripts
  [[ "$IMG_DATE" =~ ^20[0-9][0-9]-[01][0-9]-[0-3][0-9]$ ]] && echo date
  echo "$OWN_WORD $QUILT_REFRESH_ARGS"
} >"$ROOTFS_DIR/result/said"
