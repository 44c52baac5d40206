"""The parts of a long run: each is tried whatever came of the others, and the end tells it all.

A run of an hour that stops at its first failure is an hour for one failure.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from glovebox.errors import ConfigError, GloveboxError, VerifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from glovebox.host.monitor import Monitor


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something to try, under one word by which it can be asked for alone."""

    name: str
    run: Callable[[], object] = field(repr=False)
    needs: tuple[str, ...] = ()  # the parts whose result it works on
    long: bool = False  # takes longer than everybody's every run may


class Result(StrEnum):
    """What a part came to."""

    PASSED = "passed"
    FAILED = "failed"
    LEFT = "not tried"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one part came to, in what time, and why it did not pass."""

    name: str
    result: Result
    seconds: float = 0.0
    why: str = ""


def choose(parts: Sequence[Part], *, only: Sequence[str] = (), long: bool = False) -> list[Part]:
    """Give what is run: all but the long ones, or those named alone with what they need."""
    known = {part.name: part for part in parts}
    strange = [name for name in only if name not in known]
    if strange:
        raise ConfigError(
            f"--only: there is no part '{', '.join(strange)}'", hint=f"one of {', '.join(known)}"
        )
    if not only:
        return [part for part in parts if long or not part.long]
    wanted: set[str] = set()
    waiting = list(only)
    while waiting:
        name = waiting.pop()
        wanted.add(name)
        waiting += known[name].needs
    return [part for part in parts if part.name in wanted]


def try_all(monitor: Monitor, parts: Sequence[Part], *, again: Callable[[str], str]) -> None:
    """Try each, in their order; raises VerifyError that names what failed.

    A part is left out where one that it needs did not pass. ``again``: the command that repeats
    the part of this name.
    """
    found = outcomes(monitor, parts)
    for line in table(found):
        monitor.say(line)
    bad = [one for one in found if one.result is not Result.PASSED]
    if bad:
        raise VerifyError(complaint(bad, len(found), again=again))


def outcomes(monitor: Monitor, parts: Sequence[Part]) -> list[Outcome]:
    """Try each, in their order; give what each came to."""
    found: dict[str, Outcome] = {}
    for part in parts:
        lacking = [
            name for name in part.needs if name in found and found[name].result is not Result.PASSED
        ]
        if lacking:
            why = f"needs {', '.join(lacking)}"
            found[part.name] = Outcome(name=part.name, result=Result.LEFT, why=why)
            continue
        found[part.name] = _try(monitor, part)
    return list(found.values())


def _try(monitor: Monitor, part: Part) -> Outcome:
    began = time.monotonic()
    why = ""
    try:
        part.run()
    except (GloveboxError, OSError) as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001  a fault of one part must not hide the others'
        monitor.note(traceback.format_exc())
        why = f"{type(error).__name__}: {error} (its traceback is in the log)"
    return Outcome(
        name=part.name,
        result=Result.FAILED if why else Result.PASSED,
        seconds=time.monotonic() - began,
        why=why,
    )


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Tell how long each part took and what it came to."""
    wide = max(len("all"), *(len(one.name) for one in outcomes))
    lines = [f"  {one.name:<{wide}} {one.seconds:8.1f} s  {one.result}" for one in outcomes]
    seconds = sum(one.seconds for one in outcomes)
    counts = {result: sum(one.result is result for one in outcomes) for result in Result}
    words = [f"{count} {result}" for result, count in counts.items() if count]
    return [*lines, f"  {'all':<{wide}} {seconds:8.1f} s  {', '.join(words)}"]


def complaint(bad: Sequence[Outcome], of: int, *, again: Callable[[str], str]) -> str:
    """Tell what did not pass, why, and how to see each again."""
    lines = [f"{len(bad)} of {of} parts did not pass:"]
    for one in bad:
        lines += [f"{one.name}: {one.result}", *(f"  {line}" for line in one.why.splitlines())]
        lines.append(f"  again: {again(one.name)}")
    return "\n".join(lines)
