#!/bin/bash -e
on_chroot <<'WORDS'
if [ $((0x$(sed -n 's/^CapBnd:\t//p' /proc/self/status) >> 31 & 1)) = 1 ]; then echo has; else echo has not; fi >/result/function
WORDS
