"""What is done before the queue starts, without a human: its files are made such that it starts.

Redis refuses damaged files, or, worse, starts empty without a word: with a missing manifest, with
an increment of zero bytes. So before each start this looks at what the manifest names:

- all of it passes the server's own checker: nothing is touched;
- only the end is torn (a cut, zeros, garbage behind the last write): the end is cut off;
- anything else: every record whose checksum holds is saved from all files, damaged or not, into a
  journal the service drains first, and the queue begins empty.

What is cut or replaced is kept, a bounded number of times. Whatever fails here is told and never
keeps the queue from starting.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telematics import record
from telematics.files import write_through, write_whole
from telematics.journal import SALVAGED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FOLDER = "appendonlydir"
MANIFEST = "appendonly.aof.manifest"
KEPT = "kept"
KEPT_COPIES = 3
KEPT_BYTES = 128 << 20
CHECK_TIMEOUT_S = 600
CHUNK = 1 << 20
# A start that fails so often in a row has damage that the checker does not see.
PATIENCE = 5
IN_A_ROW_S = 20
STARTS = "starts"
OK_UP_TO = re.compile(rb"ok_up_to=(\d{1,18})")
# No longer than a file's name can be, and in this folder; the server writes no others.
FILE_LINE = re.compile(r"file (?P<name>[\w.-]{1,255}) seq \d+ type (?P<kind>[bhi])", re.ASCII)
# The key of what was published last, and shortly behind it its record.
SENT = b":sent"
SENT_NEAR = 24

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was found and done."""

    found: str
    done: str
    saved: int = 0


def repair(queue: Path, state: Path, *, checker: Sequence[str]) -> Outcome:
    """Make the queue's files such that the server starts, keeping every record that can be read.

    ``queue`` is the server's folder, ``state`` the service's, where the saved records go;
    ``checker`` is the command of `redis-check-aof`.
    """
    folder = queue / FOLDER
    if not folder.is_dir() or not any(folder.iterdir()):
        return Outcome(found="no queue yet", done="nothing")
    fault = _beyond_mending(queue, folder)
    if fault:
        return _salvage(queue, state, found=fault)
    checked = _check(folder, checker)
    if checked.returncode == 0:
        return Outcome(found="sound", done="nothing")
    cut = _cut_torn_end(queue, folder, checked.stdout)
    if cut and _check(folder, checker).returncode == 0:
        return Outcome(found="a torn end", done=f"{cut} bytes cut off")
    return _salvage(queue, state, found="damage")


def _beyond_mending(queue: Path, folder: Path) -> str:
    """Say what is wrong that no cut would mend; empty if there is nothing."""
    if _failed_starts(queue) >= PATIENCE:
        return f"{PATIENCE} starts in a row failed"
    named = _named(folder)
    if named is None:
        return "the manifest is missing or damaged"
    if not all((folder / name).is_file() for name in named):
        return "a file of the manifest is missing"
    if any(".base." in name and not (folder / name).stat().st_size for name in named):
        return "the base is empty"
    return ""


def _cut_torn_end(queue: Path, folder: Path, output: bytes) -> int:
    """Cut off what lies behind the last good command, if no record is in it; give its size."""
    sound = OK_UP_TO.findall(output)
    last = folder / (_named(folder) or [""])[-1]
    if not sound or not last.name.endswith(".incr.aof"):
        return 0
    end, size = int(sound[-1]), last.stat().st_size
    if end >= size or _holds_records(last, end):
        return 0
    _keep(queue, "tail", last, start=end)
    with last.open("r+b") as file:
        file.truncate(end)
        os.fsync(file.fileno())
    return size - end


def _failed_starts(queue: Path) -> int:
    """Count the starts before this one that came right after each other, and note this one."""
    file = queue / STARTS
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        first, second = file.read_text().split()
        count, last = int(first[:3]), float(second)
    except (OSError, ValueError):
        count, last = 0, -IN_A_ROW_S
    if not -1 <= now - last < IN_A_ROW_S:  # rounding may put the last one ahead
        count = 0
    try:
        write_whole(file, f"{count + 1} {now:.1f}\n", durable=False)
    except OSError as error:  # a full disk is no reason not to look
        log.warning("%s: %s", file, error.strerror)
    return count


def _named(folder: Path) -> list[str] | None:
    """Give the files that the manifest names, base first; None if it cannot be trusted."""
    try:
        text = (folder / MANIFEST).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    matches = [FILE_LINE.match(line) for line in lines]
    if not lines or not all(matches):
        return None
    files = [match for match in matches if match is not None]
    if not any(file["kind"] == "i" for file in files):
        return None
    # History is what the server would delete; its records stand in the base.
    return [file["name"] for file in files if file["kind"] != "h"]


def _check(folder: Path, checker: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*checker, str(folder / MANIFEST)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=CHECK_TIMEOUT_S,
    )


def _salvage(queue: Path, state: Path, *, found: str) -> Outcome:
    """Save the records into a journal and let the queue begin empty."""
    folder = queue / FOLDER
    log.error("the queue's files: %s; saving its records", found)
    places = _scan(folder)
    state.mkdir(exist_ok=True)  # the service's start gives it to its user
    journal = state / SALVAGED
    beside = state / f".{SALVAGED}.new"
    saved = 0
    with beside.open("wb") as out:
        if journal.is_file():  # a start that was cut off had saved them already
            with journal.open("rb") as earlier:
                shutil.copyfileobj(earlier, out)
        for _, path, offset, size in places:
            with path.open("rb") as file:
                file.seek(offset)
                out.write(file.read(size) + b"\n")
            saved += 1
    owner = state.stat()
    shutil.chown(beside, owner.st_uid, owner.st_gid)
    write_through(beside)
    beside.replace(journal)
    write_through(state)
    _keep(queue, "folder", folder)
    shutil.rmtree(folder)
    (queue / STARTS).unlink(missing_ok=True)
    return Outcome(found=found, done="the queue begins empty", saved=saved)


def _scan(folder: Path) -> list[tuple[int, Path, int, int]]:
    """Find every whole record that was not published, by number: (seq, file, offset, size)."""
    found: dict[tuple[str, int], tuple[int, Path, int, int]] = {}
    published: dict[str, int] = {}
    for path in sorted(each for each in folder.iterdir() if each.is_file()):
        for offset, raw, sent in records_in(path):
            try:
                made = record.decode(raw)
            except record.RecordError:
                continue  # its sum fits, and it is none of ours
            whose = made.identity.installation
            if sent:
                published[whose] = max(published.get(whose, 0), made.seq)
            found.setdefault((whose, made.seq), (made.seq, path, offset, len(raw)))
    waiting = (place for (whose, seq), place in found.items() if seq > published.get(whose, 0))
    return sorted(waiting)


def records_in(path: Path, start: int = 0) -> Iterator[tuple[int, bytes, bool]]:
    """Give each whole record in a file of any kind: offset, bytes, whether it says "published".

    Nothing is asked of the file's format. Between two chunks as much is kept as a record takes.
    """
    with path.open("rb") as file:
        file.seek(start)
        kept, at = b"", start
        last = False
        while not last:
            chunk = file.read(CHUNK)
            last = len(chunk) < CHUNK
            data = kept + chunk
            # A record that begins in the last bytes is looked at with the next chunk.
            limit = len(data) if last else len(data) - record.REACH
            for place, raw in record.records_in(data):
                if place >= limit:
                    break
                before = data[max(0, place - SENT_NEAR) : place]
                yield at + place, raw, SENT in before
            # What lies in the overlap is found again; its number says that it is the same.
            cut = max(0, limit - SENT_NEAR)
            kept, at = data[cut:], at + cut


def _holds_records(path: Path, start: int) -> bool:
    return next(records_in(path, start), None) is not None


def _keep(queue: Path, what: str, source: Path, *, start: int = 0) -> None:
    """Keep a copy of what is cut or replaced; the newest few, and never much."""
    kept = queue / KEPT
    try:
        kept.mkdir(mode=0o700, exist_ok=True)
        copies = sorted(kept.iterdir(), key=lambda each: each.stat().st_mtime)
        for old in copies[: max(0, len(copies) - KEPT_COPIES + 1)]:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        size = sum(each.stat().st_size for each in kept.rglob("*") if each.is_file())
        more = _size(source) - start
        if size + more > min(KEPT_BYTES, shutil.disk_usage(queue).free // 2):
            log.warning("no copy of the damaged files is kept: %d MB are too many", more >> 20)
            return
        target = kept / f"{what}-{time.time_ns()}"
        if source.is_dir():
            shutil.copytree(source, target)
            return
        with source.open("rb") as file, target.open("wb") as out:
            file.seek(start)
            shutil.copyfileobj(file, out)
    except OSError as error:
        log.warning("no copy of the damaged files is kept: %s", error)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size
