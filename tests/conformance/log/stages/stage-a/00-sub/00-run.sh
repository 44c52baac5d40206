#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
log "one truck" | sed "s/[0-9]/9/g" >"$ROOTFS_DIR/result/said"
log second >/dev/null
tail -n 2 "$LOG_FILE" | sed "s/[0-9]/9/g" >"$ROOTFS_DIR/result/logged"
