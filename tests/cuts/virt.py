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

from glovebox.boards.boards import BOARDS
from glovebox.card import table as card
from glovebox.config.schema import BoardName
from glovebox.emulator.dongle import Dongle, plugged
from glovebox.emulator.writes import Log, Write, drive
from glovebox.host.run import environment, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from glovebox.emulator.emulator import Qemu

POLL_S = 0.1
TAIL = 30
LEAST = 0.05  # of a processor; with less nobody gets anywhere
SYSTEMD = re.compile(r"Welcome to ")


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
    begin = card.start_of((folder / "config.txt").read_text(), BOARDS[BoardName.PI_3])
    assert begin.initramfs is not None
    for name in (begin.kernel, begin.initramfs):
        card.copy_out(image, name, folder / name)
    return Kit(
        kernel=folder / begin.kernel,
        initramfs=folder / begin.initramfs,
        cmdline=(folder / "cmdline.txt").read_text().strip(),
    )


class Machine:
    """A running machine; its console is a file, and what it writes to its card is logged."""

    def __init__(
        self, process: subprocess.Popen[bytes], *, console: Path, writes: Path, dongle: Dongle
    ) -> None:
        """Take over a started QEMU."""
        self.dongle = dongle
        self._writes = Log(writes)
        self._process = process
        self._log = console
        self._powered = time.monotonic()
        self._share: float | None = None
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def console(self) -> str:
        """Give all that the console said so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def writes(self) -> Iterator[Write]:
        """Give what was written to the card since the last call."""
        return self._writes.more()

    def wait(self, true: Callable[[], bool], event: str, timeout_s: float) -> None:
        """Wait for an event; fail with its name and the end of the console when it does not come.

        ``timeout_s``: the longest it may take where this machine has nothing else to do.
        """
        began = time.monotonic()
        while not true():
            ended = self._process.poll()
            tail = "\n".join(self.console().splitlines()[-TAIL:])
            assert ended is None, f"QEMU ended with {ended}:\n{tail}"
            bound = timeout_s / self._of_a_processor()
            waited = time.monotonic() - began
            assert waited < bound, f"no {event} within {bound:.0f} s:\n{tail}"
            time.sleep(POLL_S)

    def _of_a_processor(self) -> float:
        """Give how much of a processor this machine spared, as the start has shown.

        Until systemd speaks there is always something to compute; after that the guest may rest.
        """
        if self._share is not None:
            return self._share
        words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        taken = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")  # see proc(5)
        share = min(1.0, max(LEAST, taken / (time.monotonic() - self._powered)))
        if SYSTEMD.search(self.console()):
            self._share = share
        return share

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
    console, writes = folder / "console.log", folder / "writes.log"
    console.unlink(missing_ok=True)
    writes.write_bytes(b"")
    with ExitStack() as stack:
        sockets = Path(stack.enter_context(TemporaryDirectory(prefix="glovebox-")))
        dongle = stack.enter_context(plugged(sockets / "gps"))
        files = {"console": console, "writes": writes}
        process = start(
            command(kit, disk, qemu=qemu, sockets=sockets, **files),
            env=environment(qemu.variables),
        )
        machine = Machine(process, dongle=dongle, **files)
        # Before the dongle is unplugged.
        stack.callback(machine.cut)
        yield machine


def command(
    kit: Kit, disk: Path, *, qemu: Qemu, sockets: Path, console: Path, writes: Path
) -> list[str]:
    """Put the command line together."""
    # systemd tells of each unit: a moment of the start is known by what it says.
    told = f"{kit.cmdline} console=ttyAMA0 loglevel=7 systemd.show_status=1"
    return [
        "setpriv", "--pdeathsig", "KILL", "--",
        *qemu.command("arm64"),
        "-M", "virt", "-cpu", "cortex-a53", "-m", "512", "-smp", "1",
        "-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none",
        "-kernel", str(kit.kernel), "-initrd", str(kit.initramfs), "-append", told,
        "-serial", f"file:{console}",
        "-device", "qemu-xhci",
        # cache=writethrough: the guest sees a card without a cache of its own, as QEMU's SD cards
        # are, so each beginning of the log of writes is a card that a cut can leave.
        "-drive", f"if=none,id=card,cache=writethrough,{drive(str(disk), str(writes))}",
        "-device", "usb-storage,drive=card",
        "-chardev", f"socket,id=gps,path={sockets / 'gps'},server=on,wait=on",
        # A controller of its own: with both on one, the guest stands still once somebody reads.
        "-device", "pci-ohci,id=ohci", "-device", "usb-serial,chardev=gps,bus=ohci.0",
    ]  # fmt: skip
