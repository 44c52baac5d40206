#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
say_twice hello >"$ROOTFS_DIR/result/said"
log said
