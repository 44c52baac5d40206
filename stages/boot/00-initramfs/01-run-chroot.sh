# One initramfs, once everything that decides it is there; raspi-firmware's hook then fills
# /boot/firmware: kernel, initramfs, device trees, config.txt and cmdline.txt.
# The fragments of both are composed before, where a contradiction is seen best.
/usr/lib/glovebox/compose-boot
unset INITRD
update-initramfs -c -k all
