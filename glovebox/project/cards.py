"""Write cards: one, or one after the other by a list, each with what it is told of its owner."""

from __future__ import annotations

import getpass
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.card import disks, flash, keep
from glovebox.errors import ConfigError, HostError
from glovebox.project import personal, ways

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glovebox.card.disks import Disk
    from glovebox.card.flash import Source
    from glovebox.host.monitor import Monitor
    from glovebox.project.personal import Personal

INTERRUPTED = 130
_MOST = 4096  # of a file that holds a passphrase


class StoppedError(Exception):
    """Somebody wants no card to be written, or no further one; it says what is written."""

    def __init__(self, said: str, *, code: int = 1) -> None:
        """Keep what is said, and the status to end with."""
        super().__init__(said)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What shall be written, and where."""

    given: Source
    device: str
    keep_data: bool
    yes: bool


def owners(
    *, name: str, wifi: str, country: str, passphrase: str, devices: str
) -> Sequence[Personal | None]:
    """Give what each card is told, checked; None: nothing. A passphrase is asked for."""
    if devices:
        if name or wifi or country or passphrase:
            raise ConfigError("--devices says all of its cards", hint="leave the other options out")
        if not sys.stdin.isatty():
            raise ConfigError("nobody is there to change the cards", hint="run it at a terminal")
        return personal.listed(Path(devices))
    if not (name or wifi or country or passphrase):
        return [None]
    # Once without: a mistake is told before somebody types a secret.
    personal.personal(name=name, wifi=wifi, country=country)
    secret = personal.passphrase(_typed(wifi, passphrase)) if wifi else None
    return [personal.personal(name=name, wifi=wifi, country=country, passphrase=secret)]


def _typed(wifi: str, file: str) -> str:
    if file:
        try:
            with Path(file).open(encoding="utf-8") as given:
                return given.read(_MOST)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{file} cannot be read: {error}", hint="--passphrase-file"
            ) from error
    if not sys.stdin.isatty():
        raise ConfigError(
            f"the passphrase of {wifi} is wanted, and nobody is there to ask",
            hint="--passphrase-file FILE",
        )
    return getpass.getpass(f"Passphrase of {wifi} (it is not shown; Enter: an open network): ")


def write(
    wanted: Wanted, owners: Sequence[Personal | None], host: disks.Host, monitor: Monitor
) -> None:
    """Write a card for each owner; raises StoppedError where somebody says no."""
    if any(owners):
        personal.require_taken(wanted.given)
    if len(owners) == 1:
        _one(wanted, owners[0], host, monitor)
        return
    done: list[str] = []
    for number, owner in enumerate(filter(None, owners), start=1):
        told = f"Card {number} of {len(owners)}, {owner.name}: put it into {wanted.device}"
        while True:
            answer = _asked(f"{told} and press Enter (s: leave it out, q: end): ", at_end="q")
            if answer == "q":
                raise StoppedError(f"stopped; written: {', '.join(done) or 'none'}")
            if answer == "s":
                break
            try:
                _one(wanted, owner, host, monitor)
            except (HostError, StoppedError) as error:  # of this card; the list goes on
                if isinstance(error, StoppedError) and error.code == INTERRUPTED:
                    raise
                monitor.warn(str(error))
                continue
            done.append(owner.name)
            break
    monitor.say(f"written: {', '.join(done) or 'none'}")


def _one(wanted: Wanted, owner: Personal | None, host: disks.Host, monitor: Monitor) -> None:
    given = wanted.given
    disk = disks.named(host, wanted.device)
    kept = None
    if wanted.keep_data:
        kept = keep.find(given.image, flash.first_sector(given), disk)
        if kept.is_half:
            monitor.say(f"{disk.device} was cut off while it was renewed: begun again")
    else:
        flash.require_fit(given, disk)
    if not wanted.yes:
        _agreed(disk, keep_data=wanted.keep_data)

    def add() -> None:
        if kept and kept.has_settings:
            personal.darken(given, disk)
        if owner:
            personal.put_on(given, disk, owner)

    try:
        flash.flash(given, disk.device, monitor, kept=kept, add=add)
    except KeyboardInterrupt as error:
        said = f"stopped; {disk.device} is half written and starts nothing"
        raise StoppedError(f"{said}: run the same command again", code=INTERRUPTED) from error
    out_of_it = "ejected: take it out" if flash.eject(disk) else "you can take it out"
    stayed = "; its data stayed" if kept else ""
    monitor.say(f"{given.image.name} is on {disk.device}, whole{stayed}; {out_of_it}")
    name = owner.name if owner else ""
    if where := ways.answers(given.image, keep_data=wanted.keep_data, name=name):
        monitor.say(where)


def _agreed(disk: Disk, *, keep_data: bool) -> None:
    """Ask whether a disk may be written; the answer is its name, so nobody types it idly."""
    what, question = ways.what_is_lost(disk, keep_data=keep_data)
    if not sys.stdin.isatty():
        raise ConfigError(f"{what}, and nobody is there to ask", hint="--yes")
    if _asked(f"{question} To write it, type {disk.name}: ", at_end="") != disk.name:
        raise StoppedError("stopped; nothing was written")


def _asked(question: str, *, at_end: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        return at_end
