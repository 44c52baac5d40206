"""The images of Raspberry Pi OS Lite that Raspberry Pi publishes, as its own list tells of them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from glovebox.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})-raspios-([a-z]+)-(armhf|arm64)-lite\.img\.xz")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class OfficialImage:
    """One published image; sizes in bytes, sums as hex digits, those of the unpacked one `raw`."""

    url: str
    date: str
    suite: str
    arch: str
    size: int
    sha256: str
    raw_size: int
    raw_sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


def image(*, url: object, size: object, sha256: object, raw_size: object, raw_sha256: object,
          ) -> OfficialImage | None:  # fmt: skip
    """Give what is told of an image; None when it is no Lite image, or not all of it is told.

    Release, processor and date stand in the name of the file.
    """
    found = _NAME.fullmatch(url.rpartition("/")[2]) if isinstance(url, str) else None
    if found is None or not _is_address(str(url)):
        return None
    if not (_is_size(size) and _is_size(raw_size) and _is_sum(sha256) and _is_sum(raw_sha256)):
        return None
    return OfficialImage(
        url=str(url), date=found[1], suite=found[2], arch=found[3],
        size=int(str(size)), sha256=str(sha256).lower(),
        raw_size=int(str(raw_size)), raw_sha256=str(raw_sha256).lower(),
    )  # fmt: skip


def again(data: Mapping[str, Any]) -> OfficialImage:
    """Read an image that ``asdict`` wrote; raises ValueError when it is none."""
    names = ("url", "size", "sha256", "raw_size", "raw_sha256")
    found = image(**{name: data.get(name) for name in names})
    if found is None or asdict(found) != dict(data):
        message = "it names no image of Raspberry Pi OS Lite"
        raise ValueError(message)
    return found


def published(listing: object) -> Iterator[OfficialImage]:
    """Give every Lite image of a list, however deep it lies in it; what is none is passed over."""
    waiting = [listing]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, list):
            waiting += entry
        elif isinstance(entry, dict):
            waiting += [entry.get("os_list"), entry.get("subitems")]
            found = image(
                url=entry.get("url"),
                size=entry.get("image_download_size"),
                sha256=entry.get("image_download_sha256"),
                raw_size=entry.get("extract_size"),
                raw_sha256=entry.get("extract_sha256"),
            )
            if found is not None:
                yield found


def newest(listing: object, *, suite: str, arch: str) -> OfficialImage:
    """Give the newest Lite image of a release and processor; raises LockError naming what is."""
    known = list(published(listing))
    fitting = [one for one in known if (one.suite, one.arch) == (suite, arch)]
    if not fitting:
        has = ", ".join(sorted({f"{one.suite} {one.arch}" for one in known})) or "none at all"
        raise LockError(
            f"Raspberry Pi's list has no Lite image of {suite} for {arch}; it has {has}",
            hint="choose another suite, or name a file: base: PATH.img.xz",
        )
    return max(fitting, key=lambda one: one.date)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    # A list may name file: too, which would be a file of this machine.
    return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable()


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_sum(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value.lower()) is not None
