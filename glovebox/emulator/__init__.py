"""A board in QEMU, its card and its receiver."""
