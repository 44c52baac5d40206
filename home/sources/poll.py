"""One round of a source: page after page, or from a cursor on, each page committed by itself.

What a round brings is told from what it asked, so a round twice, a round after a kill and a round
after a lost cursor all end with the same rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from home.sources import paths
from home.sources.ask import SourceError
from home.sources.rows import Keyed, dumped
from home.sources.settings import POINT, SPEEDS, TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from home.sources.ask import Asker
    from home.sources.settings import Point, Source

PAGES_MAX = 100_000
DEGREES = {"lat": 90.0, "lon": 180.0}


@dataclass(frozen=True)
class Dead:
    """A row that cannot be taken, as JSON, and why."""

    row: str
    why: str


@dataclass(frozen=True)
class Page:
    """What one answer brought: rows or positions, dead letters, and where to go on."""

    rows: Sequence[Keyed]
    points: Sequence[Mapping[str, object]]
    dead: Sequence[Dead]
    cursor: Any
    last: bool


@dataclass(kw_only=True)
class Polled:
    """What a round did."""

    pages: int = 0
    rows: int = 0
    new: int = 0
    dead: int = 0


class Keep(Protocol):
    """Where pages are kept, each at once; gives how many rows were new."""

    @property
    def cursor(self) -> Any:  # noqa: ANN401  JSON's values
        """Where the last page said to go on."""

    def page(self, page: Page) -> int:
        """Keep a page, durably."""


def round_of(source: Source, asker: Asker, keep: Keep) -> Polled:
    """Ask a source for all it has now."""
    polled = Polled()
    cursor = keep.cursor
    seen: set[str] = set()
    for number in range(PAGES_MAX):
        answer = asker.ask(_parameters(source, cursor))
        page = _page(source, answer, cursor)
        keys = {each.key for each in page.rows}
        if number and keys and keys <= seen:
            # It gives the same page again whatever it is asked for.
            raise SourceError("the next page has the same rows as those before; hint: `pages:`")
        seen = keys if source.cursor else seen | keys
        polled.new += keep.page(page)
        polled.pages += 1
        polled.rows += len(page.rows) + len(page.points)
        polled.dead += len(page.dead)
        cursor = page.cursor
        if page.last:
            break
    return polled


def _parameters(source: Source, cursor: Any) -> dict[str, str]:  # noqa: ANN401  JSON's values
    parameters = {}
    if source.pages:
        done = cursor if isinstance(cursor, int) else 0
        if source.pages.limit:
            parameters[source.pages.limit] = str(source.pages.size)
        if source.pages.offset:
            parameters[source.pages.offset] = str(done * source.pages.size)
        else:
            parameters[source.pages.number] = str(done + source.pages.first)
    if source.cursor and cursor is not None:
        parameters[source.cursor.parameter] = str(cursor)
    return parameters


def _page(source: Source, answer: Any, cursor: Any) -> Page:  # noqa: ANN401  JSON's values
    found = paths.get(answer, source.rows)
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list):
        raise SourceError("the answer has no rows where `rows:` says; hint: look at it with curl")
    rows: list[Keyed] = []
    points: list[Mapping[str, object]] = []
    dead: list[Dead] = []
    for row in found:
        try:
            if source.point:
                points += _point(source.name, source.point, row)
            else:
                rows.append(_keyed(source, row))
        except ValueError as error:
            dead.append(Dead(dumped(row), f"{source.name}: {error}"))
    after, last = _next(source, answer, cursor, len(found))
    return Page(rows, points, dead, after, last)


def _next(source: Source, answer: Any, cursor: Any, count: int) -> tuple[Any, bool]:  # noqa: ANN401  as above
    if source.pages:
        if count < source.pages.size:
            return 0, True  # the next round begins at the front
        return (cursor if isinstance(cursor, int) else 0) + 1, False
    if source.cursor:
        after = paths.get(answer, source.cursor.path)
        if after in (None, "") or after == cursor or isinstance(after, dict | list | bool):
            return cursor, True
        return after, False
    return None, True


def _keyed(source: Source, row: Any) -> Keyed:  # noqa: ANN401  as above
    if not isinstance(row, dict):
        raise ValueError("a row that is no object")  # noqa: TRY004  a dead letter like others
    key = [paths.get(row, path) for path in source.key]
    for path, value in zip(source.key, key, strict=True):
        if value is None or isinstance(value, dict | list):
            raise ValueError(f"no {'.'.join(map(str, path))}, which is of its key")
    return Keyed(dumped(key), dumped(row))


def _point(name: str, point: Point, row: Any) -> Iterator[Mapping[str, object]]:  # noqa: ANN401  as above
    values = {each: paths.get(row, path) for each, path in point.fields.items()}
    if values["lat"] is None and values["lon"] is None:
        return  # nothing is known of where it is; that is no fault
    out: dict[str, object] = {
        "source": name,
        "device": point.device or values.get("device"),
        "time": _time(values["time"], point.time),
    }
    for each in POINT[2:]:
        if values.get(each) is not None:
            out[each] = _number(each, values[each]) * (
                SPEEDS[point.speed] if each == "speed" else 1
            )
    for each, limit in DEGREES.items():
        number = out.get(each)
        if not isinstance(number, float) or abs(number) > limit:
            raise ValueError(f"{each} is {number}")
    if not isinstance(out["device"], str):
        raise ValueError("no name of a vehicle")  # noqa: TRY004  a dead letter like others
    yield out


def _time(value: Any, unit: str) -> int:  # noqa: ANN401  as above
    if unit == "iso":
        try:
            when = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise ValueError(f"time is {value!r}, not ISO 8601") from None
        return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    return round(_number("time", value) * TIMES[unit])


def _number(name: str, value: Any) -> float:  # noqa: ANN401  as above
    # Many an API writes numbers as texts.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{name} is {json.dumps(value)[:40]}")  # noqa: TRY004  a dead letter like others
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is {str(value)[:40]!r}") from None
    if not abs(number) < 1e15:  # noqa: PLR2004  beyond any time or place; not a number fails, too
        raise ValueError(f"{name} is {number}")
    return number
