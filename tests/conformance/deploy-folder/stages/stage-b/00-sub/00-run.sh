#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
echo two >>"$DEPLOY_DIR/list"
cp "$DEPLOY_DIR/list" "$ROOTFS_DIR/result/list"
