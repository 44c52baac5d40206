"""Take over, once, what the owner put on the card.

In this order, so that the power may go at any moment, and any write fail: read and check all of it;
keep it on the data partition, all of it or nothing; wipe it from the boot partition; use it. Until
the wipe begins the card still has all of it, and it is taken again. If anything is wrong nothing is
kept, the card stays as it is, and a file beside it says why.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.config.problem import Problem
from glovebox.onboard.firstboot import habits, keep, screen, wipe
from glovebox.onboard.firstboot.card import (
    CERTIFICATES,
    FILE,
    LONGEST,
    MistakesError,
    Places,
    Wanted,
    read,
)
from glovebox.onboard.firstboot.disk import CardDisk
from glovebox.onboard.firstboot.forms import read as forms, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from glovebox.onboard.firstboot.disk import Disk

MISTAKES = "glovebox-mistakes.txt"
# Where a folder has the other name; damage to the card makes such.
OTHERWISE = "glovebox-mistakes-2.txt"
# So many are told at once; a file that is no settings at all has thousands.
TOLD_MAX = 50
TEMPLATE = Path("usr/share/glovebox") / FILE
APPLY = Path("usr/lib/glovebox/apply-settings")
# There while a wipe is under way: what looks for something to take over cannot tell by the file.
WIPING = "wiping"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies on the boot partition; files that a cut left half wiped hold nothing any more."""

    text: bytes
    certificates: dict[str, bytes]
    forms: dict[str, bytes]
    cmdline: bytes
    half_wiped: tuple[str, ...]
    unreadable: tuple[Problem, ...] = ()

    @property
    def names(self) -> list[str]:
        """Give the files to wipe, what counts most last: a cut leaves nothing that counted less."""
        own = [FILE] if self.text else []
        return [*self.forms, *self.certificates, *self.half_wiped, *own]


def take_over(places: Places, disk: Disk, *, use: Callable[[Wanted], None]) -> int:
    """Do all of it, and give the status to end with; ``use`` lets this start have it already."""
    status = _note_habits(places, disk)
    try:
        # What an earlier start was stopped in.
        if keep.unfinished(places):
            keep.install(places, disk)
    except OSError as error:
        _say(f"the medium stopped this again, the next start goes on with it: {error}")
        return 1
    found = look(places.boot)
    try:
        if found.unreadable:
            raise MistakesError(found.unreadable)  # noqa: TRY301  told as all mistakes are
        together = forms.read(found.forms, found.cmdline, places.root)
        wanted = read(found.text, found.certificates, places, together)
        _check_data(places)
        if not wanted.nothing:
            keep.stage(wanted, places, disk)
    except MistakesError as mistakes:
        return _refuse(str(mistakes), places, disk)
    except OSError as error:
        return _refuse(f"the settings could not be stored: {error}", places, disk)
    try:
        if keep.unfinished(places):
            keep.install(places, disk)
        _wipe(found, wanted, together.notes, places, disk)
    except OSError as error:
        _say(f"the medium stopped this, the next start goes on with it: {error}")
        status = 1
    _tell_led(places, mistake=False)
    if not wanted.nothing:
        _say(f"taken over from the card: {', '.join(wanted.names)}")
        use(wanted)
    return status


def look(boot: Path) -> Found:
    """Read what is there, and no more of a file than makes sense."""
    contents: dict[str, bytes] = {}
    odd: list[Problem] = []
    for name in (FILE, *CERTIFICATES, *forms.READERS, words.FILE):
        try:
            with (boot / name).open("rb") as file:
                contents[name] = file.read(LONGEST + 1)
        except FileNotFoundError:
            continue
        except IsADirectoryError:
            cure = "remove it; if a computer says the card has errors, let it mend them first"
            odd.append(
                Problem(path="", what="this is a folder, not a file", cure=cure, source=name)
            )
        except OSError as error:
            what = f"this cannot be read: {error.strerror}"
            odd.append(Problem(path="", what=what, cure="copy it to the card again", source=name))
    # Never wiped, whatever stands there: the board starts by it.
    cmdline = contents.pop(words.FILE, b"")
    half = tuple(name for name, content in contents.items() if wipe.half_wiped(content))
    whole = {name: content for name, content in contents.items() if name not in half}
    text = whole.pop(FILE, b"")
    odd += [
        Problem(
            path="", what="the file is too large", cure=f"{LONGEST >> 10} KiB at most", source=name
        )
        for name in forms.READERS
        if len(whole.get(name, b"")) > LONGEST
    ]
    return Found(
        text=text,
        certificates={name: whole[name] for name in CERTIFICATES if name in whole},
        forms={name: whole[name] for name in forms.READERS if name in whole},
        cmdline=cmdline,
        half_wiped=half,
        unreadable=tuple(odd),
    )


def _note_habits(places: Places, disk: Disk) -> int:
    """Wipe the files of other systems, and leave a note in their place; give a status."""
    names = habits.on(places.boot)
    if not names:
        return 0
    try:
        with writable(places.boot, disk):
            disk.write(places.boot / habits.NOTES, habits.told(names).encode())
            for name in names:
                wipe.remove(places.boot / name, disk)
    except OSError as error:
        _say(f"{', '.join(names)} could not be wiped, the next start tries again: {error}")
        return 1
    _say(f"not needed here, see {habits.NOTES}: {', '.join(names)}")
    return 0


def _check_data(places: Places) -> None:
    """Refuse where there is no data partition: RAM forgets, and the card would be wiped."""
    if os.major(places.data.stat().st_dev) == 0:
        what = "this card has no data partition to keep settings on"
        raise MistakesError([Problem(path="", what=what, cure="flash it anew", source=FILE)])


def _refuse(why: str, places: Places, disk: Disk) -> int:
    """Write beside the file what is wrong with it, unless that stands there already."""
    lines = told(why)
    _say("\n".join(lines))
    text = "".join(f"{line}\r\n" for line in lines).encode()
    path = places.boot / MISTAKES
    if path.is_dir():
        path = places.boot / OTHERWISE
    try:
        if not path.exists() or path.read_bytes() != text:
            with writable(places.boot, disk):
                disk.write(path, text)
    except OSError as error:
        _say(f"{path.name} could not be written: {error}")
    _tell_led(places, mistake=True)
    return 1


def _tell_led(places: Places, *, mistake: bool) -> None:
    """Leave word of a mistake on the card, or of none, and ask whoever shows it to look."""
    try:
        if places.mistake.exists() == mistake:
            return
        if mistake:
            places.mistake.parent.mkdir(parents=True, exist_ok=True)
            places.mistake.touch()
        else:
            places.mistake.unlink()
        # See /usr/lib/glovebox/show-state; a board without its LED has no such folder.
        asking = places.mistake.parent / "state"
        if asking.is_dir():
            (asking / "ask").touch()
    except OSError as error:
        _say(f"the LED is not told: {error}")


def told(why: str) -> list[str]:
    """Give the lines that an owner reads."""
    lines = why.splitlines()
    more = [f"... and {len(lines) - TOLD_MAX} more"] if len(lines) > TOLD_MAX else []
    return [
        "Nothing was taken over. The board goes on with the settings it had.",
        "Mend this, save the file and start the board again:",
        "",
        *lines[:TOLD_MAX],
        *more,
    ]


def _wipe(found: Found, wanted: Wanted, notes: Sequence[str], places: Places, disk: Disk) -> None:
    """Overwrite what was taken over, and remove what was said about it."""
    told_before = [path for name in (MISTAKES, OTHERWISE) if (path := places.boot / name).is_file()]
    asks = not wanted.nothing or found.forms or found.half_wiped
    names = found.names if asks else []
    theirs = words.theirs(found.cmdline)
    flag = places.kept / WIPING
    if names or told_before or theirs:
        disk.write(flag, b"")
        with writable(places.boot, disk):
            if notes:
                _add_notes(notes, places, disk)
            if not wanted.nothing:
                screen.put_out(places.boot, disk)
            for name in names:
                path = places.boot / name
                if name == FILE:
                    wipe.replace(path, (places.root / TEMPLATE).read_bytes(), disk)
                else:
                    wipe.remove(path, disk)
            if theirs:
                words.take_off(places.boot / words.FILE, found.cmdline, disk)
            for path in told_before:
                disk.remove(path)
    if flag.exists():
        disk.remove(flag)


def _add_notes(notes: Sequence[str], places: Places, disk: Disk) -> None:
    """Say what was not done, below what is said of the files of other systems."""
    path = places.boot / habits.NOTES
    text = habits.told_of_forms(notes)
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if text not in before.replace("\n", "\r\n"):
        disk.write(path, (before.replace("\n", "\r\n") + text).encode())


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
        # Not by /proc/sys, which the sandbox of this service does not let anybody write.
        socket.sethostname(name)
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
