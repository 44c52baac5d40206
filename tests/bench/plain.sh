#!/bin/bash -e
# What people do without a builder: copy an image, make it larger, loop-mount it, change root into
# it through the emulator, install, copy files, unmount. After any change the whole of it runs again.
# It gets more than it would have: the packages lie here already, the queue's server is compiled.
# Usage: plain.sh BASE_IMAGE RESULT REPOSITORY FILES [PACKAGE...]
base=$1 result=$2 repository=$3 files=$4
shift 4
root=$(mktemp -d)

leave() {
  for place in run/repository dev sys proc ""; do
    mountpoint --quiet "$root/$place" && umount "$root/$place"
  done
  rmdir "$root"
}
trap leave EXIT

cp --sparse=always "$base" "$result"
truncate --size=+512M "$result"
echo ", +" | sfdisk --quiet --no-reread --no-tell-kernel -N 2 "$result"
start=$(sfdisk --dump "$result" | sed -n 's/.*start= *\([0-9]*\),.*type=83$/\1/p')
loop=$(losetup --find --show --offset $((start * 512)) "$result")
e2fsck -fp "$loop" >/dev/null || [ $? -lt 2 ]
resize2fs "$loop" >/dev/null 2>&1
mount "$loop" "$root"
# From here on it ends with the mount, also when this script is killed.
losetup --detach "$loop"

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --bind /dev "$root/dev"
mkdir -p "$root/run/repository"
mount --bind "$repository" "$root/run/repository"

if [ $# -gt 0 ]; then
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  mv "$root/etc/apt/sources.list" "$root/etc/apt/sources.list.kept"
  echo "deb [trusted=yes] file:/run/repository ./" >"$root/etc/apt/sources.list"
  export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8
  chroot "$root" apt-get --quiet update
  chroot "$root" apt-get --quiet --yes install --no-install-recommends "$@"
  chroot "$root" update-initramfs -c -k all
  mv "$root/etc/apt/sources.list.kept" "$root/etc/apt/sources.list"
  rm "$root/usr/sbin/policy-rc.d"
fi
cp -a "$files/." "$root/"
chroot "$root" systemctl enable telematics.service queue.service
sync
leave
trap - EXIT
sha256sum "$result"
