#!/usr/bin/python3
mkdir -p /result
{
  echo "$0 $#"
  case "$-" in *e*) echo stops at errors ;; esac
  echo "$STAGE $OWN_WORD"
  [ -e "$ROOTFS_DIR" ] || echo in the root
} >/result/said
