"""A generic Arm machine that starts a board's card: quick, and its power can be cut at any moment.

The kernel and initramfs of the arm64 boards are Debian's generic ones, so they start on QEMU's
``virt`` too, in a third of the time of its Raspberry Pi. The card is a disk at a USB port, which
the initramfs knows for a board that starts from USB. What this shows of a card holds for the boards
as far as it comes from the partitions, the initramfs and the system; the SD host and the firmware
are left out.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from glovebox import card
from glovebox.config import BoardName
from glovebox.dongle import Dongle, plugged
from glovebox.run import environment, run, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from glovebox.emulator import Qemu

POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Kit:
    """What the firmware would load from an image's boot partition."""

    kernel: Path
    initramfs: Path
    cmdline: str


def unpack(image: Path, folder: Path) -> Kit:
    """Take from the boot partition what is started."""
    for name in ("config.txt", "cmdline.txt"):
        card.copy_out(image, name, folder / name)
    begin = card.start_of((folder / "config.txt").read_text(), BoardName.PI_3)
    assert begin.initramfs is not None
    for name in (begin.kernel, begin.initramfs):
        card.copy_out(image, name, folder / name)
    return Kit(
        kernel=folder / begin.kernel,
        initramfs=folder / begin.initramfs,
        cmdline=(folder / "cmdline.txt").read_text().strip(),
    )


class Machine:
    """A running machine; its console is a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, dongle: Dongle) -> None:
        """Take over a started QEMU."""
        self.dongle = dongle
        self._process = process
        self._log = log
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def console(self) -> str:
        """Give all that the console said so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def wait_for(self, pattern: str, timeout_s: float) -> None:
        """Wait until the console says something; fail with its end when it does not."""
        until = time.monotonic() + timeout_s
        while not re.search(pattern, self.console()):
            ended = self._process.poll()
            tail = "\n".join(self.console().splitlines()[-30:])
            assert ended is None, f"QEMU ended with {ended}:\n{tail}"
            assert time.monotonic() < until, f"no '{pattern}' within {timeout_s:.0f} s:\n{tail}"
            time.sleep(POLL_S)

    def cut(self) -> None:
        """Take the power away, without a word."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _drain(self) -> None:
        for _ in self._process.stdout or ():
            pass


@contextmanager
def powered(kit: Kit, disk: Path, *, qemu: Qemu, folder: Path) -> Iterator[Machine]:
    """Give power to a machine with a card, whose changes stay; it is cut when the block ends."""
    log = folder / "console.log"
    log.unlink(missing_ok=True)
    with ExitStack() as stack:
        sockets = Path(stack.enter_context(TemporaryDirectory(prefix="glovebox-")))
        dongle = stack.enter_context(plugged(sockets / "gps"))
        process = start(command(kit, disk, qemu=qemu, sockets=sockets, log=log),
                        env=environment(qemu.variables))  # fmt: skip
        machine = Machine(process, log, dongle)
        # Before the dongle is unplugged.
        stack.callback(machine.cut)
        yield machine


def command(kit: Kit, disk: Path, *, qemu: Qemu, sockets: Path, log: Path) -> list[str]:
    """Put the command line together."""
    # systemd tells of each unit: a moment of the start is known by what it says.
    told = f"{kit.cmdline} console=ttyAMA0 loglevel=7 systemd.show_status=1"
    return [
        "setpriv", "--pdeathsig", "KILL", "--",
        *qemu.command("arm64"),
        "-M", "virt", "-cpu", "cortex-a53", "-m", "512", "-smp", "1",
        "-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none",
        "-kernel", str(kit.kernel), "-initrd", str(kit.initramfs), "-append", told,
        "-serial", f"file:{log}",
        "-device", "qemu-xhci",
        # cache=writethrough: what the guest flushed, and what it did not, is what QEMU was told.
        "-drive", f"file={disk},if=none,id=card,format=raw,cache=writethrough",
        "-device", "usb-storage,drive=card",
        "-chardev", f"socket,id=gps,path={sockets / 'gps'},server=on,wait=on",
        # A controller of its own: with both on one, the guest stands still once somebody reads.
        "-device", "pci-ohci,id=ohci", "-device", "usb-serial,chardev=gps,bus=ohci.0",
    ]  # fmt: skip


def insert(image: Path, target: Path, size: int) -> Path:
    """Write an image to a card of a size, as a flash does."""
    run(["cp", "--sparse=always", "--", image, target])
    os.truncate(target, size)
    return target
