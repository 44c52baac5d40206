"""Fetch large files by HTTP, going on where a broken connection left off.

apt fetches a build's packages and sources; it cannot name itself as Raspberry Pi's server wants it,
nor say how far it is.
"""

from __future__ import annotations

import http.client
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from glovebox.errors import HostError, LockError
from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The server answers 403 to what Python's and curl's clients call themselves.
AGENT = "Mozilla/5.0 (compatible; Glovebox; image builder)"
TIMEOUT_S = 30
# So often without one new byte; between them it waits, longer each time.
TRIES = 5
PAUSE_S = 2.0
MOST = 32 << 20  # a list, key or signature longer than this is none
_BLOCK = 1 << 20
_SERVERS_FAULT = 500
_LATER = (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS)


class _LostError(Exception):
    """The connection is gone; ``final`` when the server would say the same again."""

    def __init__(self, error: Exception) -> None:
        super().__init__(_told(error))
        self.code = error.code if isinstance(error, urllib.error.HTTPError) else _SERVERS_FAULT
        self.final = self.code < _SERVERS_FAULT and self.code not in _LATER


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A file of known size and sum."""

    url: str
    name: str
    size: int
    sha256: str


def small(url: str, *, hint: str, most: int = 0) -> bytes:
    """Fetch a file of unknown size whole, into memory; raises LockError."""
    most = most or MOST
    try:
        with _ask(url) as answer:
            data = _read(answer, most + 1)
            while len(data) <= most and (more := _read(answer, most + 1 - len(data))):
                data += more
    except _LostError as error:
        raise LockError(f"{url}: {error}", hint=hint) from error
    if len(data) > most:
        raise LockError(f"{url} does not end after {most >> 20} MiB", hint=hint)
    return data


def fetch(
    wanted: Wanted,
    folder: Path,
    *,
    hint: str,
    progress: Callable[[int, int], None] = lambda _there, _whole: None,
) -> Path:
    """Fetch a file into ``folder``, under its sum; what came of a broken try is gone on with.

    ``progress`` takes the bytes that are there and those of the whole. Raises LockError; whoever
    calls holds a lock on the file.
    """
    target, part = folder / wanted.sha256, folder / f".{wanted.sha256}.part"
    if target.exists():
        return target
    _require_room(folder, wanted.size - _size(part), wanted.name)
    resumed = _size(part) > 0
    pieces = _complete(wanted, part, hint=hint, progress=progress)
    digest = files.sha256_file(part)
    if digest != wanted.sha256 and (resumed or pieces > 1):
        # Half of it may be of a file that lay there before: once more, from its beginning.
        part.unlink()
        _complete(wanted, part, hint=hint, progress=progress)
        digest = files.sha256_file(part)
    if digest != wanted.sha256:
        part.unlink()
        raise another_file(wanted.name, digest, wanted.sha256)
    files.fsync(part)
    part.rename(target)
    files.fsync_folder(folder)
    return target


def another_file(name: str, found: str, pinned: str) -> LockError:
    """Give the error for a file with another sum than the pinned one."""
    return LockError(
        f"{name} has the sha256 {found}, {pinned} is pinned: it is another file",
        hint="./invoke lock asks Raspberry Pi's list again; look at what changes",
    )


def _complete(
    wanted: Wanted, part: Path, *, hint: str, progress: Callable[[int, int], None]
) -> int:
    """Fetch until all bytes are there; give how many connections it took."""
    failures, connections, said = 0, 0, "the server ended it"
    while (there := _size(part)) < wanted.size:
        if failures:
            time.sleep(PAUSE_S * failures)
        connections += 1
        try:
            _go_on(wanted, part, progress)
        except _LostError as error:
            said = str(error)
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()  # what is there is of a longer file
            elif error.final:
                failures = TRIES
        failures = 0 if _size(part) > there else failures + 1
        if failures >= TRIES:
            there = _size(part)
            further = "the next run goes on from there; or " if there else ""
            raise LockError(
                f"{wanted.name}: {there} of {wanted.size} bytes came from {wanted.url}: {said}",
                hint=f"{further}{hint}",
            )
    return connections


def _go_on(wanted: Wanted, part: Path, progress: Callable[[int, int], None]) -> None:
    """Fetch what is missing of a file; a server that knows no ranges sends it all again."""
    there = _size(part)
    with _ask(wanted.url, there) as answer:
        whole = answer.status != http.HTTPStatus.PARTIAL_CONTENT
        # What is there is kept until as much has come again: a server that ends early each time
        # must not take away what another had sent.
        skip = there if whole else 0
        with part.open("ab") as file:
            try:
                while skip and (block := _read(answer, min(_BLOCK, skip))):
                    skip -= len(block)
                while there < wanted.size and (
                    block := _read(answer, min(_BLOCK, wanted.size - there))
                ):
                    file.write(block)
                    there += len(block)
                    progress(there, wanted.size)
            finally:
                file.flush()
                os.fsync(file.fileno())


def _ask(url: str, there: int = 0) -> http.client.HTTPResponse:
    headers = {"User-Agent": AGENT, **({"Range": f"bytes={there}-"} if there else {})}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  http or https, see config
    try:
        found: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _LostError(error) from error
    return found


def _read(answer: IO[bytes], size: int) -> bytes:
    """Read up to ``size`` bytes; none at its end."""
    try:
        return answer.read(size)
    except http.client.IncompleteRead as error:
        return error.partial
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(error) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _require_room(folder: Path, size: int, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise HostError(
            f"{name} takes {size / 1e9:.1f} GB more, the disk of {folder} has"
            f" {free / 1e9:.1f} GB free",
            hint="make room: ./invoke clean; or choose another disk (GLOVEBOX_STORE)",
        )


def _told(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its certificate does not hold here ({cause.verify_message}): is the clock right, is"
            " ca-certificates installed?"
        )
    if isinstance(cause, TimeoutError):
        return f"the server was silent for {TIMEOUT_S} s"
    return str(getattr(cause, "strerror", None) or cause) or type(cause).__name__
