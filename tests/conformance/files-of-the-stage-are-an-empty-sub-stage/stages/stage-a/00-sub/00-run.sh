#!/bin/bash -e
install -D -m 644 "$STAGE_DIR/files/greeting" "$ROOTFS_DIR/result/greeting"
