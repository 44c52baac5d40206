# One initramfs, once everything that decides it is there; raspi-firmware's hook then fills
# /boot/firmware: kernel, initramfs, device trees, config.txt and cmdline.txt.
unset INITRD
update-initramfs -c -k all
