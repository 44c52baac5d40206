"""Take a local image as base: its two partitions become the lowest layer.

The image is read, never mounted read-write and never changed. Its partition table is read and not
assumed; its boot partition appears where its own fstab has it.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from glovebox.build import layer
from glovebox.card import bootfiles, first_start, media, system
from glovebox.card.packing import packing_of, unpack
from glovebox.errors import ConfigError, ImageError, LockError
from glovebox.host import files, inside
from glovebox.host.run import run
from glovebox.lock import apt
from glovebox.lock.download import another_file
from glovebox.plan import code
from glovebox.plan.base import STEP, Base

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.host.monitor import Monitor
    from glovebox.lock.official import OfficialImage
    from glovebox.store.store import Store

_SHA256 = re.compile(r"[0-9a-f]{64}")
# Raspberry Pi's package archive, as its images name it, and as older ones do.
_RASPBERRY_PIS = tuple(f"http://archive.raspberrypi.{end}/debian" for end in ("com", "org"))
_MACHINE_ID = re.compile(r"[0-9a-f]{32}")


def bring_in(
    image: Path, store: Store, monitor: Monitor, *, arch: str, pinned: OfficialImage | None = None
) -> Base:
    """Give the layer of an image, making it if it is not in the store yet.

    Raises ImageError when the file is no image of a Debian-like system, ConfigError when it is for
    another processor than the board's, LockError when it is not the ``pinned`` one.
    """
    name = pinned.name if pinned else image.name
    with monitor.slow(STEP, f"reading {name}"):
        digest = _digest(image, store)
    if pinned is not None and digest != pinned.sha256:
        raise another_file(f"{image} ({name})", digest, pinned.sha256)
    key = files.digest("import", code.of_this_builder(), digest)
    with store.exclusive(key):
        found = store.find(key)
        if found is not None and not store.is_intact(found):
            monitor.warn(f"the result of {STEP} is damaged: it is made again")
            store.remove(found)
            found = None
        if found is None:
            with monitor.step(STEP, f"reading {name}"), store.scratch() as scratch:
                tree = scratch / "result" / "tree"
                tree.mkdir(parents=True)
                guess = _fill(tree, image, scratch, pinned)
                if guess:
                    monitor.warn(f"{image}: {guess}")
                found = store.commit(key, scratch / "result", {"name": STEP, "inputs": {}})
    boot = system.boot_point(found.tree)
    base = Base(
        layer=found,
        digest=digest,
        arch=system.arch(found.tree),
        suite=_suite(found.tree),
        boot=boot,
        first_start=first_start.read(found.tree, inside.place(found.tree, boot)),
    )
    if base.arch != arch:
        raise ConfigError(
            f"base: {image} holds a system for {base.arch}, the board takes {arch}",
            hint="choose the board the image is for, or base: debian",
        )
    if pinned is not None and base.suite != pinned.suite:
        raise LockError(
            f"{name} holds a system of {base.suite}, by its name it is one of {pinned.suite}",
            hint="./invoke lock asks Raspberry Pi's list again; or name a mirror (raspios.server)",
        )
    return base


def archives(
    base: Base, mirror: apt.Mirror, *, raspberry_pis: str | None = None
) -> tuple[apt.Archive, ...]:
    """Give the package sources of the image itself; Debian's own come from ``mirror``.

    ``raspberry_pis`` is a mirror of Raspberry Pi's own archive.
    """
    default = apt.mmdebstrap_default()
    swap = {default.main: mirror.main, default.security: mirror.security}
    if raspberry_pis is not None:
        swap |= dict.fromkeys(_RASPBERRY_PIS, raspberry_pis)
    tree = base.layer.tree
    found: list[apt.Archive] = []
    for source in apt.sources_of(tree):
        url = source.url.rstrip("/")
        if urlsplit(url).scheme not in ("http", "https"):
            continue  # file: and the like mean the board; the host's apt would read the host
        debian = (url in swap and url not in _RASPBERRY_PIS) or not source.keyring
        keyring = apt.KEYRING if debian else inside.place(tree, source.keyring)
        entry = apt.Archive(
            url=swap.get(url, url),
            suite=source.suite,
            optional=source.suite != base.suite,
            components=source.components,
            keyring=keyring,
        )
        if entry not in found:
            found.append(entry)
    if not any(not entry.optional for entry in found):
        return apt.archives(mirror, base.suite)
    return tuple(sorted(found, key=lambda entry: entry.optional))


def _digest(image: Path, store: Store) -> str:
    """Give the file's sha256, remembered by place, size and time: hashing takes seconds."""
    try:
        status = image.stat()
    except OSError as error:
        raise ImageError(f"base: {image}: {error.strerror}") from error
    known = store.root / "digests.json"
    name = f"{image.resolve()} {status.st_size} {status.st_mtime_ns}"
    match (files.read_object(known) or {}).get(name):
        case str() as digest if _SHA256.fullmatch(digest):
            return digest
    digest = files.sha256_file(image)
    with store.exclusive("digests"):  # another command may add one at this moment
        digests = {**(files.read_object(known) or {}), name: digest}
        files.write_whole(known, json.dumps(digests, indent=1), mode=0o600)
    return digest


def _fill(tree: Path, image: Path, scratch: Path, pinned: OfficialImage | None) -> str:
    """Fill a tree with the files of an image; give what had to be guessed of it."""
    packing = packing_of(image)
    raw = image if packing is None else scratch / "card.img"
    if packing is not None:
        digest = unpack(image, packing, raw, digest=pinned is not None)
        # A file with the pinned sum is packed, and what came out of it shall be the listed bytes.
        if pinned is not None and digest != pinned.raw_sha256:
            raise another_file(f"what {pinned.name} holds", digest, pinned.raw_sha256)
    found = media.examine(image, raw, packing)
    shown = scratch / "shown"
    shown.mkdir()
    with media.mounted(found, shown):
        if not inside.is_file(shown, "var/lib/dpkg/status"):
            raise ImageError(f"{image} holds no Debian-like system: it has no dpkg status")
        run(["cp", "--archive", "--no-target-directory", shown, tree])
    shutil.rmtree(tree / "lost+found", ignore_errors=True)
    boot = inside.folder(tree, system.boot_point(tree))
    bootfiles.copy(raw, found.boot, boot)
    _forget_its_id(tree)
    # Nothing is newer than now; the times of last reading become the build's when it is assembled.
    layer.settle_times(tree, started_ns=sys.maxsize, epoch=int(time.time()))
    return found.guess


def _forget_its_id(tree: Path) -> None:
    """Take the id away that a system has once it ran; all else stays as it came with the image.

    A stock image has an empty one or the word `uninitialized`: on them its first start waits.
    """
    for name in ("etc/machine-id", "var/lib/dbus/machine-id"):
        if _MACHINE_ID.fullmatch(inside.text(tree, name).strip()):
            inside.entry(tree, name).unlink()


def _suite(tree: Path) -> str:
    name = system.os_release(tree).get("VERSION_CODENAME")
    if not name:
        raise ImageError(
            "the image does not say which release it is (os-release: VERSION_CODENAME)"
        )
    return name
