# What pi-gen's stages do to a root, and the one initramfs.
mkdir -p /boot/firmware
dpkg --install /run/debs/*.deb
for name in gpio i2c spi render input; do
  getent group "$name" >/dev/null || addgroup --system --quiet "$name"
done
usermod --append --groups \
  adm,dialout,cdrom,sudo,audio,video,plugdev,games,users,input,render,netdev,gpio,i2c,spi pi
usermod --password '*' pi
usermod --password '*' root
rm -f /etc/ssh/ssh_host_*
units="regenerate_ssh_host_keys sshswitch userconfig raspi-config rpi-eeprom-update"
if [ -e /usr/lib/systemd/system/rpi-resize.service ]; then units="$units rpi-resize"; fi
# shellcheck disable=SC2086  # several words
systemctl enable --quiet $units
systemctl disable --quiet ssh

rm /usr/sbin/update-initramfs
dpkg-divert --local --rename --remove /usr/sbin/update-initramfs
# What a Pi's card needs: with all of Debian's modules it takes minutes to pack.
printf 'MODULES=list\n' >/etc/initramfs-tools/conf.d/stand-in
cp /etc/initramfs-tools/modules /run/modules
printf '%s\n' bcm2835 bcm2835_dma sdhci_iproc sdhci_pltfm mmc_block ext4 vfat nls_cp437 nls_ascii \
  >>/etc/initramfs-tools/modules
update-initramfs -c -k all
cp /run/modules /etc/initramfs-tools/modules
rm /etc/initramfs-tools/conf.d/stand-in
