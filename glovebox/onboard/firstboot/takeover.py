"""Take over, once, what the owner put on the card.

In this order, so that the power may go at any moment: read and check everything; keep it on the
data partition; wipe it from the boot partition; use it. Until the wipe begins the card still has
all of it, and it is taken again. If anything is wrong nothing is kept, the card stays as it is, and
a file beside it says why.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.config.problem import Problem
from glovebox.onboard.firstboot import wipe
from glovebox.onboard.firstboot.card import CERTIFICATES, FILE, MistakesError, Places, Wanted, read
from glovebox.onboard.firstboot.disk import CardDisk
from glovebox.onboard.firstboot.keep import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from glovebox.onboard.firstboot.disk import Disk

MISTAKES = "glovebox-mistakes.txt"
TEMPLATE = Path("usr/share/glovebox") / FILE
APPLY = Path("usr/lib/glovebox/apply-settings")
# There while a wipe is under way: what looks for something to take over cannot tell by the file.
WIPING = "wiping"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies on the boot partition; files that a cut left half wiped hold nothing any more."""

    text: bytes
    certificates: dict[str, bytes]
    half_wiped: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Give the files to wipe."""
        return [*self.certificates, *self.half_wiped, *([FILE] if self.text else [])]


def take_over(places: Places, disk: Disk, *, use: Callable[[Wanted], None]) -> int:
    """Do all of it, and give the status to end with; ``use`` lets this start have it already."""
    found = look(places.boot)
    try:
        wanted = read(found.text, found.certificates, places)
        _check_data(places)
        if not wanted.nothing:
            keep(wanted, places, disk)
    except MistakesError as mistakes:
        return _refuse(str(mistakes), places, disk)
    except OSError as error:
        return _refuse(f"the settings could not be stored: {error}", places, disk)
    status = 0
    try:
        _wipe(found, wanted, places, disk)
    except OSError as error:
        _say(f"the card could not be wiped, the next start tries again: {error}")
        status = 1
    if not wanted.nothing:
        _say(f"taken over from the card: {', '.join(wanted.names)}")
        use(wanted)
    return status


def look(boot: Path) -> Found:
    """Read what is there."""
    there = {name: boot / name for name in (FILE, *CERTIFICATES) if (boot / name).exists()}
    contents = {name: path.read_bytes() for name, path in there.items()}
    half = tuple(name for name, content in contents.items() if wipe.half_wiped(content))
    whole = {name: content for name, content in contents.items() if name not in half}
    return Found(text=whole.pop(FILE, b""), certificates=whole, half_wiped=half)


def _check_data(places: Places) -> None:
    """Refuse where there is no data partition: RAM forgets, and the card would be wiped."""
    if os.major(places.data.stat().st_dev) == 0:
        what = "this card has no data partition to keep settings on"
        raise MistakesError([Problem(path="", what=what, cure="flash it anew", source=FILE)])


def _refuse(why: str, places: Places, disk: Disk) -> int:
    """Write beside the file what is wrong with it, unless that stands there already."""
    text = "".join(f"{line}\r\n" for line in told(why)).encode()
    path = places.boot / MISTAKES
    if not path.exists() or path.read_bytes() != text:
        with writable(places.boot, disk):
            disk.write(path, text)
    _say(f"nothing is taken over from the card:\n{why}")
    return 1


def told(why: str) -> list[str]:
    """Give the lines that an owner reads."""
    return [
        f"Nothing of {FILE} was taken over. The board goes on with the settings it had.",
        "Mend this, save the file and start the board again:",
        "",
        *why.splitlines(),
    ]


def _wipe(found: Found, wanted: Wanted, places: Places, disk: Disk) -> None:
    """Overwrite what was taken over, and remove what was said about it."""
    mistakes = places.boot / MISTAKES
    names = [] if wanted.nothing and not found.half_wiped else found.names
    flag = places.kept / WIPING
    if names or mistakes.exists():
        disk.write(flag, b"")
        with writable(places.boot, disk):
            for name in names:
                path = places.boot / name
                if name == FILE:
                    wipe.replace(path, (places.root / TEMPLATE).read_bytes(), disk)
                else:
                    wipe.remove(path, disk)
            if mistakes.exists():
                disk.remove(mistakes)
    if flag.exists():
        disk.remove(flag)


@contextmanager
def writable(boot: Path, disk: Disk) -> Iterator[None]:
    """Let the boot partition be written for a moment, if it is not all the time."""
    if not disk.read_only(boot):
        yield
        return
    disk.remount(boot, writable=True)
    try:
        yield
    finally:
        disk.remount(boot, writable=False)


def use_now(wanted: Wanted, places: Places) -> None:
    """Let this start have it, as the next one gets it from the initramfs."""
    before = os.uname().nodename
    _run([os.fspath(places.root / APPLY), os.fspath(places.root)])
    name = (places.root / "etc/hostname").read_text(encoding="utf-8").strip()
    if name != before:
        Path("/proc/sys/kernel/hostname").write_text(name, encoding="utf-8")
    if wanted.country is not None:
        _run(["/usr/sbin/iw", "reg", "set", wanted.country])
    if wanted.service or name != before:
        # The recorder began before this: nothing waits for the card. Its publisher did not yet.
        _run(["/usr/bin/systemctl", "--no-block", "try-restart", "telematics.service"])


def _run(command: list[str]) -> None:
    """Run what may fail: the next start has the settings in any case."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        _say(f"{command[0]}: {done.stderr.strip()}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the journal is where it goes


def main() -> int:
    """Take over what is on this board's card."""
    os.umask(0o077)
    places = Places(boot=Path("/boot/firmware"), data=Path("/data"), root=Path("/"))
    return take_over(places, CardDisk(), use=lambda wanted: use_now(wanted, places))
