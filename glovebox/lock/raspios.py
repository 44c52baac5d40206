"""The official image of Raspberry Pi OS Lite: which is the newest, fetched once, and proven.

Raspberry Pi's own list of images says where each lies and what its sums are; the signature beside
an image says that Raspberry Pi made it. An answer is kept when all of that held: from then on the
image is known by its sum, and no network is asked until `invoke lock` asks for a newer one.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from glovebox.config.build import RASPIOS
from glovebox.errors import LockError
from glovebox.host import files
from glovebox.lock import download, official, signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from glovebox.config.build import RaspiOs
    from glovebox.host.monitor import Monitor
    from glovebox.lock.official import OfficialImage
    from glovebox.store.store import Store

SERVER = "https://downloads.raspberrypi.com"
LIST = "os_list_imagingutility_v4.json"
KEY = "raspberrypi_downloads.gpg.key"
# The key is published elsewhere than the images; a mirror has it beside the list.
KEYS_SERVER = "https://www.raspberrypi.org"
_OTHER_WAY = (
    "check the network; or name a mirror (raspios.server), or the image as a file that you fetched"
    " (raspios.image)"
)
_NO_LIST = (
    "check the network; or name a mirror (raspios.server), or an image that nothing proves"
    " (base: PATH.img.xz)"
)
_NO_KEY = "name a file that has the key (raspios.key): it counts by its fingerprint alone"
_NO_SIGNATURE = "check the network; or lay the signature beside the image (raspios.image), as .sig"
# Progress is told in so many parts.
_PARTS = 10


def choose(
    settings: RaspiOs,
    store: Store,
    monitor: Monitor,
    *,
    suite: str,
    arch: str,
    refresh: bool = False,
) -> OfficialImage:
    """Give the newest image of a release and processor, proven; raises LockError.

    What was chosen before stays chosen: only ``refresh`` asks the list again.
    """
    server = _server(settings)
    kept = store.root / "apt" / f"raspios-{files.digest(server, suite, arch)[:16]}.json"
    with store.exclusive("raspios"):
        known = _kept(kept)
        if known is not None and not refresh:
            return known
        with monitor.slow(RASPIOS, f"asking {server} which image is the newest"):
            found = official.newest(_listing(server), suite=suite, arch=arch)
        if found != known:
            _prove(found, settings, store, monitor)
            files.write_whole(kept, json.dumps(asdict(found), indent=1), mode=0o600)
    return found


def bring(image: OfficialImage, settings: RaspiOs, store: Store, monitor: Monitor) -> Path:
    """Give the file of an image, fetched if it is not there yet; raises LockError.

    An owner's own file is used where it lies.
    """
    if settings.image is not None:
        return Path(settings.image)
    folder = store.root / "sources"
    wanted = download.Wanted(
        url=_through(image.url, _server(settings)), name=image.name,
        size=image.size, sha256=image.sha256,
    )  # fmt: skip
    # Two builds at once fetch it once.
    with store.exclusive(f"fetch-{image.sha256[:16]}"):
        if (folder / image.sha256).exists():
            return folder / image.sha256
        host = urlsplit(wanted.url).hostname
        with monitor.step(
            RASPIOS, f"fetching {image.name} ({image.size / 1e6:.0f} MB) from {host}"
        ):
            return download.fetch(
                wanted, folder, hint=_OTHER_WAY, progress=_telling(image.name, monitor)
            )


def require_pinned(image: OfficialImage | None, *, suite: str, arch: str) -> OfficialImage:
    """Give the image of a lock file; raises LockError when it holds none, or another's."""
    if image is None or (image.suite, image.arch) != (suite, arch):
        has = f"that of {image.suite} for {image.arch}" if image else "none"
        raise LockError(
            f"the lock file shall name an image of Raspberry Pi OS {suite} for {arch}: it has"
            f" {has}",
            hint="./invoke lock, and look at what changes; or build without --locked",
        )
    return image


def _prove(image: OfficialImage, settings: RaspiOs, store: Store, monitor: Monitor) -> None:
    """Raise LockError unless the file is the listed one, and signed by Raspberry Pi."""
    server = _server(settings)
    # First what is small: who lacks the key shall not fetch the image for nothing.
    key = _key(settings)
    beside = Path(f"{settings.image}.sig") if settings.image is not None else None
    if beside is not None and beside.is_file():
        signed = _file(beside)
    else:
        signed = download.small(f"{_through(image.url, server)}.sig", hint=_NO_SIGNATURE)
    file = bring(image, settings, store, monitor)
    with monitor.slow(RASPIOS, f"checking sum and signature of {image.name}"):
        if settings.image is not None:
            digest = files.sha256_file(file)
            if digest != image.sha256:
                raise LockError(
                    f"raspios.image: {file} has the sha256 {digest}, the newest that Raspberry Pi"
                    f" lists is {image.name} with {image.sha256}",
                    hint=f"fetch {image.url}; or take the file unproven: base: {file}",
                )
        with store.scratch() as scratch:
            signature.require(image.name, file, key=key, signature=signed, scratch=scratch)
    monitor.say(f"  ✓ {image.name} is signed by Raspberry Pi's key")


def _listing(server: str) -> object:
    url = f"{server}/{LIST}"
    try:
        found: object = json.loads(download.small(url, hint=_NO_LIST))
    except (ValueError, RecursionError) as error:
        raise LockError(f"{url} is no list of images: {error}", hint=_NO_LIST) from error
    return found


def _key(settings: RaspiOs) -> bytes:
    if settings.key is not None:
        return _file(Path(settings.key))
    server = _server(settings)
    return download.small(f"{KEYS_SERVER if server == SERVER else server}/{KEY}", hint=_NO_KEY)


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(download.MOST)
    except OSError as error:
        raise LockError(f"{path}: {error.strerror}", hint="let this user read it") from error


def _kept(path: Path) -> OfficialImage | None:
    """Read an answer that was proven; None where there is none, or it is damaged."""
    try:
        return official.again(files.read_object(path) or {})
    except ValueError:
        return None


def _server(settings: RaspiOs) -> str:
    return (settings.server or SERVER).rstrip("/")


def _through(url: str, server: str) -> str:
    """Give the address of a file at the server that is asked in place of Raspberry Pi's."""
    parts = urlsplit(url)
    return f"{server}{parts.path}" if parts.netloc == urlsplit(SERVER).netloc else url


def _telling(name: str, monitor: Monitor) -> Callable[[int, int], None]:
    """Give what tells a person how far a download is, once each tenth of it."""
    told = -1

    def tell(there: int, whole: int) -> None:
        nonlocal told
        part = there * _PARTS // whole
        if part > told:
            told = part
            monitor.say(f"  … {name}: {there / 1e6:.0f} of {whole / 1e6:.0f} MB", style="dim")

    return tell
