mkdir -p "$ROOTFS_DIR/result"
words=(one two)
echo "${words[1]}" >"$ROOTFS_DIR/result/said"
