#!/bin/bash -e
if [ ! -d "$ROOTFS_DIR" ]; then
  copy_previous
  echo "made" >"$ROOTFS_DIR/result/root"
fi
mkdir -p "$ROOTFS_DIR/result"
echo "b" >>"$ROOTFS_DIR/result/order"
