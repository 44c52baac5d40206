#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo "b" >>"$ROOTFS_DIR/result/order"
cp "$PREV_ROOTFS_DIR/result/order" "$ROOTFS_DIR/result/before"
echo "$PREV_STAGE" >"$ROOTFS_DIR/result/stage"
