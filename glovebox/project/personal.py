"""Make a card somebody's: the glovebox.yaml that is written onto it beside the image.

It is checked as the board will check it, before anything is written; the board takes it over at
its first start and wipes it.
"""

from __future__ import annotations

import csv
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from glovebox.card import fat, flash, mbr
from glovebox.config.schema import Secret
from glovebox.errors import ConfigError, HostError, ImageError
from glovebox.host import files
from glovebox.onboard.firstboot import card, screen
from glovebox.onboard.firstboot.card import FILE, MistakesError, Places

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glovebox.card.disks import Disk
    from glovebox.card.flash import Source

COLUMNS = ("name", "wifi", "passphrase", "country")
_HEAD = "# Written by ./invoke flash. The board takes it over at its next start, and wipes it.\n"
_FIELDS = "a field may be empty; one with a comma in it stands in quotes"


@dataclass(frozen=True, kw_only=True)
class Personal:
    """What a card is told of its owner, as the text of glovebox.yaml."""

    name: str
    text: Secret
    origin: str


def personal(
    *, name: str = "", wifi: str = "", passphrase: Secret | None = None, country: str = "",
    origin: str = "",
) -> Personal:  # fmt: skip
    """Write glovebox.yaml and have it checked; raises ConfigError with all that is wrong.

    ``origin``: where it was given, as file and line; else by options.
    """
    told: dict[str, object] = {"hostname": name} if name else {}
    if wifi:
        network = {"ssid": wifi} | ({"psk": passphrase.reveal()} if passphrase else {})
        told["wifi"] = ({"country": country} if country else {}) | {"networks": [network]}
    elif passphrase or country:
        where = f"{origin}: " if origin else ""
        raise ConfigError(f"{where}a passphrase or a country, and no network", hint="name it: wifi")
    text = _HEAD + yaml.safe_dump(told, allow_unicode=True, sort_keys=False, width=1 << 20)
    with tempfile.TemporaryDirectory() as folder:
        nowhere = Path(folder)
        try:
            card.read(text.encode(), {}, Places(boot=nowhere, data=nowhere, root=nowhere))
        except MistakesError as error:
            each = [
                f"{origin or 'flash'}: {one.path}: {one.what}; hint: {one.cure}"
                for one in error.problems
            ]
            raise ConfigError("\n".join(each), each=each) from error
    return Personal(name=name, text=Secret(text.replace("\n", "\r\n")), origin=origin)


def listed(path: Path) -> list[Personal]:
    """Read a CSV of cards, one a row; raises ConfigError with the mistakes of all rows."""
    rows = _rows(path)
    found: dict[str, Personal] = {}
    wrong: list[str] = []
    for row in rows:
        origin = f"{path}:{rows.line_num}"
        if None in row or None in row.values():
            wrong.append(f"{origin}: it has not as many fields as the first line; hint: {_FIELDS}")
            continue
        name = row["name"].strip()
        if not name or name in found:
            wrong.append(f"{origin}: name: {f'{name} is there twice' if name else 'is missing'}")
            continue
        try:
            found[name] = _of_row(row, name, origin)
        except ConfigError as error:
            wrong += error.each
    if wrong:
        raise ConfigError("\n".join(wrong), each=wrong)
    if not found:
        raise ConfigError(f"{path} names no card", hint="a line for each, below the first")
    return list(found.values())


def _rows(path: Path) -> csv.DictReader[str]:
    """Open a CSV whose first line names our columns."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise ConfigError(f"{path}: {said}", hint="give a CSV file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8", hint="save it as CSV UTF-8") from error
    # Where a comma is the decimal sign, spreadsheets write semicolons.
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    rows = csv.DictReader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    names = [each.strip().lower() for each in rows.fieldnames or ()]
    if "name" not in names or not set(names) <= set(COLUMNS) or len(names) != len(set(names)):
        raise ConfigError(
            f"{path}:1: the columns are {', '.join(names) or 'none'}",
            hint=f"the first line names them: {','.join(COLUMNS)}; all but name may be left out",
        )
    rows.fieldnames = names
    return rows


def _of_row(row: Mapping[str, str], name: str, origin: str) -> Personal:
    secret = row.get("passphrase") or ""
    return personal(
        name=name,
        wifi=row.get("wifi") or "",
        passphrase=Secret(secret) if secret else None,
        country=(row.get("country") or "").strip(),
        origin=origin,
    )


def require_taken(given: Source) -> None:
    """Raise ImageError where an image is known to take nothing over, or says something itself."""
    name = given.image.name.partition(".img")[0]
    told = files.read_object(given.image.with_name(f"{name}.manifest.json")) or {}
    start = _boot(given)
    text = fat.text(given.image, start, FILE) if given.packing is None else ""
    if text is None or told.get("car") is False:
        raise ImageError(
            f"{given.image.name} has no {FILE} on its boot partition: it takes nothing over",
            hint="the stage first-boot brings it, with profiles car and home",
        )
    if card.COMMENT_LINE.sub(b"", text.encode()).strip():
        raise ImageError(
            f"{given.image.name} says something in its own {FILE}",
            hint="put it all there: ./invoke mount --write; or build the image again",
        )


def _boot(given: Source) -> int:
    found = mbr.entries(flash.first_sector(given))
    if not found or found[0].kind not in mbr.FAT:
        raise ImageError(f"{given.image.name} has no boot partition of ours", hint="name another")
    return found[0].start


def put_on(given: Source, disk: Disk, owner: Personal) -> None:
    """Write glovebox.yaml into the boot partition of a card, and read it back."""
    start = _boot(given)
    if fat.text(disk.device, start, FILE) is None:
        raise ImageError(
            f"{given.image.name} has no {FILE}: it takes nothing over", hint="leave --name out"
        )
    text = owner.text.reveal()
    fat.put(disk.device, start, FILE, text)
    with disk.device.open("rb") as written:
        flash.settle(written.fileno())
    if fat.text(disk.device, start, FILE) != text.replace("\r\n", "\n"):
        raise HostError(f"{disk.device} does not keep {FILE}", hint="take another card")


def darken(given: Source, disk: Disk) -> None:
    """End the picture at HDMI, as the board did when it was set up (`onboard.firstboot.screen`)."""
    start = _boot(given)
    text = fat.text(disk.device, start, screen.FILE)
    if text is not None:
        # A comment in place of each line, as there.
        fat.put(disk.device, start, screen.FILE, re.sub(r"(?m)^[a-z]", "#", text))


def passphrase(text: str) -> Secret | None:
    """Take a passphrase as it was typed, or stands in a file, with one line's end or none."""
    told = re.sub(r"\r?\n\Z", "", text)
    return Secret(told) if told else None
