#!/bin/bash -e
mkdir -p "$ROOTFS_DIR/result"
install -o 1000 -g 1000 -m 644 files/note "$ROOTFS_DIR/home/$FIRST_USER_NAME/note"
