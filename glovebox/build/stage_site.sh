#!/bin/bash
# Runs a script of a stage on the build machine: its places are mounted where it expects them, in a
# mount namespace that ends with it, and pi-gen's functions are there for it to call.
#
# GLOVEBOX_WORK, GLOVEBOX_ROOT, GLOVEBOX_PREVIOUS: what WORK_DIR, ROOTFS_DIR and PREV_ROOTFS_DIR show.
# GLOVEBOX_CAGE, GLOVEBOX_CAGE_OPTIONS: what enters a root as pi-gen's on_chroot does, a word a line.
set -eu

_glovebox_show() {
  mkdir -p "$2"
  mountpoint -q "$2" || mount --rbind "$1" "$2"
}

log() {
  printf '[%(%T)T] %s\n' -1 "$*" | tee -a "$LOG_FILE"
}

# Both bring the layer below: whether that came from an archive or a stage was decided before.
copy_previous() {
  _glovebox_show "$GLOVEBOX_ROOT" "$ROOTFS_DIR"
}

bootstrap() {
  if [ "$(realpath -m "${2:-$ROOTFS_DIR}")" != "$(realpath -m "$ROOTFS_DIR")" ]; then
    echo "bootstrap: only ROOTFS_DIR can be made here, not $2" >&2
    return 1
  fi
  _glovebox_show "$GLOVEBOX_ROOT" "$ROOTFS_DIR"
}

on_chroot() {
  local name
  for name in dev dev/pts sys; do
    # Only a root that is not the build's own lacks them.
    mountpoint -q "$ROOTFS_DIR/$name" || mount --options bind,ro "/$name" "$ROOTFS_DIR/$name"
  done
  local -a cage options
  mapfile -t cage <<<"$GLOVEBOX_CAGE"
  mapfile -t options <<<"$GLOVEBOX_CAGE_OPTIONS"
  "${cage[@]}" "$ROOTFS_DIR" "${options[@]}" -- /bin/bash -e "$@"
}

unmount() {
  local folder place try
  folder=$(realpath -m "${1:-$PWD}")
  for try in 1 2 3 4 5 6; do
    while read -r place; do
      umount "$place" 2>/dev/null || true
    done < <(_glovebox_mounts "$folder" | sort -r)
    [ -n "$(_glovebox_mounts "$folder")" ] || return 0
    sleep "0.$try"
  done
  echo "unmount: $folder is in use" >&2
  return 1
}

# The mounts below a folder, but for the root that is being built: it goes with this namespace.
_glovebox_mounts() {
  local place rest
  while read -r _ _ _ _ place rest; do
    case "$place" in
      "$ROOTFS_DIR" | "$WORK_DIR") ;;
      "$1" | "$1"/*) printf '%s\n' "$place" ;;
    esac
  done </proc/self/mountinfo
}

unmount_image() {
  local device
  while read -r device; do
    umount --all-targets "$device" "$device"p* 2>/dev/null || true
    losetup --detach "$device"
  done < <(losetup --noheadings --output NAME --associated "$1")
}

ensure_next_loopdev() {
  local device
  device=$(losetup --find)
  [ -b "$device" ] || mknod "$device" b 7 "${device#/dev/loop}"
}

ensure_loopdev_partitions() {
  local name numbers
  while read -r name numbers; do
    [ -b "/dev/$name" ] || mknod "/dev/$name" b "${numbers%:*}" "${numbers#*:}"
  done < <(lsblk --raw --noheadings --output NAME,MAJ:MIN "$1" | tail -n +2)
}

update_issue() {
  printf '%s %s\nGenerated using %s, %s, %s, %s\n' "$PI_GEN_RELEASE" "$IMG_DATE" \
    "$PI_GEN" "$PI_GEN_REPO" "$GIT_HASH" "${1:-}" >"$ROOTFS_DIR/etc/rpi-issue"
}

export -f _glovebox_show _glovebox_mounts log copy_previous bootstrap on_chroot unmount \
  unmount_image ensure_next_loopdev ensure_loopdev_partitions update_issue

# A fork's own functions of scripts/common; those that pi-gen has, too, are the ones above.
if [ -n "${GLOVEBOX_COMMON:-}" ]; then
  _glovebox_ours=$(declare -F | cut -d' ' -f3)
  _glovebox_theirs=$(
    set +eu
    for name in $_glovebox_ours; do unset -f "$name"; done
    # shellcheck source=/dev/null
    . "$GLOVEBOX_COMMON" >/dev/null
    for name in $(declare -F | cut -d' ' -f3); do
      grep -qxF "$name" <<<"$_glovebox_ours" || { declare -f "$name" && echo "export -f $name"; }
    done
  )
  eval "$_glovebox_theirs"
  unset _glovebox_ours _glovebox_theirs
fi

mount --bind "$GLOVEBOX_WORK" "$WORK_DIR"
mkdir -p "$STAGE_WORK_DIR"
if [ -n "${GLOVEBOX_PREVIOUS:-}" ]; then
  _glovebox_show "$GLOVEBOX_PREVIOUS" "$PREV_ROOTFS_DIR"
fi
# Before prerun.sh a stage has no root: it asks whether there is one.
if [ "$GLOVEBOX_PRERUN" = no ]; then
  _glovebox_show "$GLOVEBOX_ROOT" "$ROOTFS_DIR"
fi
exec "$@"
