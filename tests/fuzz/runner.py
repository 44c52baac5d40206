"""Runs a reader on inputs nobody would write: each ends in an answer or in one of our own errors.

A target makes an input from a source of chance, and reads it. It runs in a child of its own, whose
memory is bounded and whose time for each input is; what it touches on the machine is looked at.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from glovebox.errors import GloveboxError
from glovebox.host import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

# What a reader may take beside what Python and its libraries have already.
MEMORY = 1 << 30
# Generous for a machine that does many things at once; a reader takes milliseconds.
HANGS_S = 60


@dataclass(frozen=True, kw_only=True)
class Target:
    """A reader: ``make`` gives an input, ``read`` takes it; it may use the folder as it likes."""

    name: str
    make: Callable[[random.Random], Any]
    read: Callable[[Any, Path], object]
    cases: int  # in CI


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The input that went wrong: seed and number make it again."""

    seed: int
    case: int
    what: str
    value: str

    def __str__(self) -> str:
        """Say how to see it again."""
        return (
            f"seed {self.seed}, case {self.case}: {self.what}\n{self.value}\n"
            f"again: pytest tests/fuzz --fuzz-seed {self.seed}"
        )


def run(target: Target, *, seed: int, until: float | None = None) -> tuple[int, Failure | None]:
    """Read as many inputs as CI does, or until a time; give their number and the first failure."""
    with TemporaryDirectory() as made:
        inside, outside = Path(made) / "inside", Path(made) / "outside"
        inside.mkdir()
        outside.mkdir()
        (outside / "canary").write_text("nobody reads or writes this")
        before = files.stamp_tree(outside)
        ours, theirs = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(
            target=_child, args=(target, seed, until, inside, theirs)
        )
        child.start()
        theirs.close()
        at, value, count, failure = 0, "", 0, None
        try:
            while True:
                kind, *told = ours.recv()
                if kind == "begin":
                    at, value = told
                elif kind == "failed":
                    failure = Failure(seed=seed, case=at, what=told[0], value=value)
                else:
                    count = told[0]
        except EOFError:
            child.join()
        if failure is None and child.exitcode:
            what = f"the reader ended with {child.exitcode}: memory, or time"
            failure = Failure(seed=seed, case=at, what=what, value=value)
        if failure is None and files.stamp_tree(outside) != before:
            failure = Failure(seed=seed, case=at, what="a file outside was touched", value=value)
        return count, failure


def _child(target: Target, seed: int, until: float | None, folder: Path, tell: Connection) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    os.chdir(folder)
    chance = random.Random(seed)  # noqa: S311  made to be the same again
    case = 0
    while case < target.cases if until is None else time.monotonic() < until:
        value = target.make(chance)
        tell.send(("begin", case, repr(value)[:2000]))
        signal.alarm(HANGS_S)  # ends this child: nothing of Python could keep it from that
        try:
            target.read(value, folder)
        except GloveboxError as error:
            if not error.message.isprintable() and "\n" not in error.message:
                tell.send(("failed", f"an error with orders to a terminal: {error.message!r}"))
                break
        except BaseException:  # noqa: BLE001  that is what is looked for
            tell.send(("failed", traceback.format_exc()))
            break
        finally:
            signal.alarm(0)
        case += 1
    tell.send(("done", case))
    tell.close()
    os._exit(0)


def mutated(chance: random.Random, data: bytes, *, within: int | None = None) -> bytes:
    """Give bytes that are mostly right: some flipped, some extreme, some pieces moved or gone."""
    end = min(within or len(data), len(data))
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(end)
        match chance.randrange(4):
            case 0:
                made[at] ^= 1 << chance.randrange(8)
            case 1:
                size = chance.choice((1, 2, 4, 8))
                extreme = chance.choice((0, 1, -1, 1 << (8 * size - 1), 0x7F, 0xFF))
                made[at : at + size] = (extreme % (1 << 8 * size)).to_bytes(size, "little")
            case 2:
                piece = made[chance.randrange(end) :][: chance.randrange(1, 64)]
                made[at : at + len(piece)] = piece
            case _:
                size = chance.randrange(1, 64)
                made[at : at + size] = bytes(size)
    whole = bytes(made[: len(data)])
    return whole if chance.randrange(8) else whole[: chance.randrange(len(whole))]


def lines(chance: random.Random, words: tuple[str, ...], *, most: int = 30) -> str:
    """Give a text of words that mean something to its reader, and of others."""
    odd = ("", " ", "\t", "²", "\x1b[31m", "\0", "é", "\ud800", "x" * 300, "9" * 5000, "-1", "#",
           "=", "[", "]", ":", '"', "'", "\\", "../..", "/", "*", "\r")  # fmt: skip
    made = []
    for _ in range(chance.randrange(most)):
        parts = [
            chance.choice(words if chance.randrange(4) else odd) for _ in range(chance.randrange(6))
        ]
        made.append(chance.choice(("", " ", "=", ":")).join(parts))
    return chance.choice(("\n", "\r\n", "\n\n")).join(made)
