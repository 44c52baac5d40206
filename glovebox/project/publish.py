"""Put images into a folder that any web server can serve as it is."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from glovebox.card import packing
from glovebox.errors import ConfigError
from glovebox.host import files
from glovebox.project import offer, signing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from glovebox.host.monitor import Monitor
    from glovebox.project.offer import Offer


def publish(offers: Sequence[Offer], folder: Path, url: str, monitor: Monitor) -> None:
    """Fill the folder: images first, and last the list that names them, each whole or not at all.

    What lay there and is not of these stays.
    """
    base = address(url)
    texts = offer.texts(offers, base)  # first: where it cannot be signed, nothing is written
    folder.mkdir(parents=True, exist_ok=True)
    shared = [path for one in offers for path in one.shared]
    size = sum(path.stat().st_size for path in shared)
    packing.require_room(folder, size, what=f"publishing to {folder}")
    with monitor.step("publish", f"copying {len(shared)} files to {folder}"):
        for path in shared:
            with files.replacing(folder / path.name) as half:
                shutil.copyfile(path, half)
    for ending in signing.ENDINGS:  # one of another list would call this one forged
        (folder / f"{offer.SUMS}{ending}").unlink(missing_ok=True)
    for name in sorted(texts, key=lambda name: name == offer.LIST):
        files.write_whole(folder / name, texts[name])


def address(url: str) -> str:
    """Give an address without the slash at its end; raises ConfigError where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        parts = urlsplit("")
    whole = parts.scheme in ("http", "https") and parts.hostname
    # Imager takes the address of a list up to the first space, `?` or `#`.
    if not whole or parts.query or parts.fragment or re.search(r"[\s?#]", url):
        raise ConfigError(
            f"--url: '{url}' is no address of a folder", hint="--url https://example.org/images"
        )
    return url.rstrip("/")
