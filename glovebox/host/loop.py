"""Show a part of a file as a block device that goes away with its last user, however that ends.

losetup(8) cannot ask for that, so the kernel is asked here; see "struct loop_config" in
linux/loop.h. `resize2fs FILE?offset=…` is no way round it: it cuts the file off behind the file
system, and what lay there is lost.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

_GET_FREE = 0x4C82
_CONFIGURE = 0x4C0A
_READ_ONLY = 1
_AUTOCLEAR = 4
_TRIES = 16  # another program may take the free device first


@contextmanager
def device(image: Path, *, start: int, size: int, writable: bool = False) -> Iterator[Path]:
    """Give the block device of ``size`` bytes of ``image`` from ``start`` on.

    The kernel keeps everything else of the file out of its reach. Raises HostError when there are
    no loop devices.
    """
    mode = os.O_RDWR if writable else os.O_RDONLY
    backing = os.open(image, mode)
    try:
        handle, path = _configured(backing, mode, start, size, 0 if writable else _READ_ONLY)
    finally:
        os.close(backing)
    try:
        yield path
        if writable:
            os.fsync(handle)
    finally:
        os.close(handle)


def _configured(backing: int, mode: int, start: int, size: int, flags: int) -> tuple[int, Path]:
    # fd, block size; then struct loop_info64: device, inode, rdevice, offset, sizelimit, number,
    # encryption type and key size, flags, names, key, two words; then eight reserved words.
    config = struct.pack(
        "=II QQQQQ IIII 64s 64s 32s 2Q 8Q",
        backing, 0, 0, 0, 0, start, size, 0, 0, 0, flags | _AUTOCLEAR, b"glovebox", b"", b"",
        0, 0, *([0] * 8),
    )  # fmt: skip
    try:
        for _ in range(_TRIES):
            control = os.open("/dev/loop-control", os.O_RDWR)
            try:
                path = Path(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}")
            finally:
                os.close(control)
            handle = os.open(path, mode)
            try:
                fcntl.ioctl(handle, _CONFIGURE, config)
            except OSError as error:
                os.close(handle)
                if error.errno != errno.EBUSY:
                    raise
            else:
                return handle, path
    except OSError as error:
        raise HostError(
            f"no loop device: {error.strerror}",
            hint="modprobe loop; in a container, allow it loop devices",
        ) from error
    raise HostError("no free loop device", hint="losetup --list shows who uses them")
