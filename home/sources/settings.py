"""What ``sources:`` in home.yaml may say.

::

    sources:
      - name: fleet                     # a vehicle feed: positions on the map
        url: https://api.example.org/vehicles
        every_s: 20
        token: {file: secrets/fleet, header: Authorization, prefix: "Bearer "}
        rows: vehicles                  # where the rows stand in the answer; none: the answer
        point: {device: name, time: drive.timestamp, lat: drive.lat, lon: drive.lon,
                speed: drive.speed, track: drive.heading}
        units: {time: s, speed: km/h}
      - name: emissions                 # a paged data set: a table of that name
        url: https://data.example.org/resource/emissions.json
        every_s: 86400
        pages: {size: 1000, limit: "$limit", offset: "$offset"}
        query: {"$order": ":id"}
        key: [uuid]
        fields: {id: uuid, department: department, tonnes: emissions.co2}

A cursor instead of pages: ``cursor: {from: meta.next, as: cursor}``; it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from home.fields import Fields, Mistakes
from home.sources import paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAME = r"[a-z][a-z0-9_]{0,30}"
COLUMN = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
HEADER = r"[A-Za-z0-9-]{1,64}"
PARAMETER = r"[!-~]{1,64}"
# Names that views and tables of the home have already.
TAKEN = {
    "points", "legs", "stops", "runs", "minutes", "lines", "trips", "gaps", "windows", "dead",
    "trip_parts", "stop_parts", "trips_core", "stops_core", "time_zone",
}  # fmt: skip
POINT = ("device", "time", "lat", "lon", "speed", "track", "alt")
TIMES = {"ms": 1.0, "s": 1000.0, "iso": 0.0}
SPEEDS = {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704, "kn": 1852 / 3600}


@dataclass(frozen=True, kw_only=True)
class Token:
    """A secret in a file and the header it goes into."""

    file: Path
    header: str = "Authorization"
    prefix: str = ""


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Page after page until one has fewer rows than asked for."""

    size: int
    limit: str = ""
    offset: str = ""
    number: str = ""
    first: int = 1


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The answer says with which word to go on."""

    path: paths.Path
    parameter: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a row has a vehicle's position."""

    fields: Mapping[str, paths.Path]
    device: str = ""
    time: str = "ms"
    speed: str = "m/s"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One thing to ask, again and again."""

    name: str
    url: str
    every_s: float
    rows: paths.Path = ()
    key: Sequence[paths.Path] = ()
    fields: Mapping[str, paths.Path] = field(default_factory=dict)
    point: Point | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    pages: Pages | None = None
    cursor: Cursor | None = None
    token: Token | None = None
    authority: Path | None = None


KNOWN = {
    "name", "url", "every_s", "rows", "key", "fields", "point", "units", "query", "pages",
    "cursor", "token", "ca_file",
}  # fmt: skip


def read(values: Sequence[object], file: Path) -> list[Source]:
    """Read ``sources:``; ConfigError has all mistakes."""
    mistakes = Mistakes(file)
    sources = [_source(mistakes, f"sources[{at}]", value) for at, value in enumerate(values)]
    names = [source.name for source in sources]
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        mistakes.lines.append(f"sources: two are called {name}; hint: each its own name")
    mistakes.raise_any()
    return sources


def _source(mistakes: Mistakes, where: str, value: object) -> Source:
    fields = Fields(mistakes, where, value, KNOWN)
    name = fields.text("name", NAME, "a-z 0-9 _, a letter first, 31 at most")
    if name in TAKEN:
        fields.wrong("name", name, "another one: the home has a view of that name")
    point = _point(mistakes, fields) if "point" in fields.values else None
    keys = fields.list("key", "a list of paths: [id]")
    source = Source(
        name=name,
        url=fields.url("url"),
        every_s=fields.number("every_s", 1, 31 * 86_400, "s", 60),
        rows=_path(fields, "rows", fields.values.get("rows", "")),
        key=tuple(_path(fields, f"key[{at}]", each) for at, each in enumerate(keys)),
        fields=_mapping(mistakes, fields, "fields", COLUMN, "a column: letters, digits, _"),
        point=point,
        query=_query(mistakes, fields),
        pages=_pages(mistakes, fields),
        cursor=_cursor(mistakes, fields),
        token=_token(mistakes, fields),
        authority=fields.path("ca_file"),
    )
    if point is None and not source.key:
        fields.wrong("key", None, "the fields that name a row for ever, such as [id]; or `point:`")
    if source.pages and source.cursor:
        fields.wrong("cursor", "…", "either pages or a cursor")
    if source.token and source.url.startswith("http:") and not _loopback(source.url):
        fields.wrong("url", source.url, "https: the token would be read on the way")
    return source


def _point(mistakes: Mistakes, fields: Fields) -> Point:
    where = f"{fields.where}.point"
    point = Fields(mistakes, where, fields.values["point"], {*POINT, "name"})
    units = Fields(
        mistakes, f"{fields.where}.units", fields.values.get("units", {}), {"time", "speed"}
    )
    for name in ("time", "lat", "lon"):
        if name not in point.values:
            point.wrong(name, None, "the path of that field")
    if ("device" in point.values) == ("name" in point.values):
        point.wrong("device", None, "the path of the vehicle's name, or `name:` with the name")
    return Point(
        fields={n: _path(point, n, point.values[n]) for n in POINT if n in point.values},
        device=point.text("name", r"[A-Za-z0-9._-]{0,12}", "12 of A-Z a-z 0-9 . _ -", ""),
        time=units.text("time", "|".join(TIMES), "ms, s or iso", "ms"),
        speed=units.text("speed", "|".join(SPEEDS), ", ".join(SPEEDS), "m/s"),
    )


def _pages(mistakes: Mistakes, fields: Fields) -> Pages | None:
    if "pages" not in fields.values:
        return None
    known = {"size", "limit", "offset", "number", "first"}
    pages = Fields(mistakes, f"{fields.where}.pages", fields.values["pages"], known)
    found = Pages(
        size=int(pages.number("size", 1, 100_000, "rows")),
        limit=pages.text("limit", f"({PARAMETER})?", "the parameter with the size", ""),
        offset=pages.text("offset", f"({PARAMETER})?", "the parameter with the first row", ""),
        number=pages.text("number", f"({PARAMETER})?", "the parameter with the page", ""),
        first=int(pages.number("first", 0, 1, "", 1)),
    )
    if bool(found.offset) == bool(found.number):
        pages.wrong("", fields.values["pages"], "either `offset:` or `number:`, a parameter's name")
    return found


def _cursor(mistakes: Mistakes, fields: Fields) -> Cursor | None:
    if "cursor" not in fields.values:
        return None
    cursor = Fields(mistakes, f"{fields.where}.cursor", fields.values["cursor"], {"from", "as"})
    return Cursor(
        path=_path(cursor, "from", cursor.values.get("from")),
        parameter=cursor.text("as", PARAMETER, "the parameter that takes it"),
    )


def _token(mistakes: Mistakes, fields: Fields) -> Token | None:
    if "token" not in fields.values:
        return None
    known = {"file", "header", "prefix"}
    token = Fields(mistakes, f"{fields.where}.token", fields.values["token"], known)
    file = token.path("file")
    if file is None:
        token.wrong("file", None, "the file with the token, one line")
        return None
    return Token(
        file=file,
        header=token.text("header", HEADER, "the name of a header", "Authorization"),
        prefix=token.text("prefix", r"[ -~]{0,32}", 'what stands before it, such as "Bearer "', ""),
    )


def _query(mistakes: Mistakes, fields: Fields) -> dict[str, str]:
    given = fields.values.get("query", {})
    if not isinstance(given, dict):
        fields.wrong("query", given, "parameters with their values")
        return {}
    query = Fields(mistakes, f"{fields.where}.query", given, set(map(str, given)))
    for name, value in query.values.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            query.wrong(name, value, "a text or a number")
    return {name: str(value) for name, value in query.values.items()}


def _mapping(
    mistakes: Mistakes, fields: Fields, name: str, pattern: str, hint: str
) -> dict[str, paths.Path]:
    import re  # noqa: PLC0415  for the one check

    given = fields.values.get(name, {})
    known = {key for key in given if isinstance(key, str)} if isinstance(given, dict) else set()
    inside = Fields(mistakes, f"{fields.where}.{name}", given, known)
    for key in inside.values:
        if not re.fullmatch(pattern, key):
            inside.wrong(key, key, hint)
    return {key: _path(inside, key, value) for key, value in inside.values.items()}


def _path(fields: Fields, name: str, value: object) -> paths.Path:
    try:
        if isinstance(value, str):
            return paths.parse(value)
    except paths.PathError:
        pass
    fields.wrong(name, value, "a path such as drive_state.speed or items[0].id")
    return ()


def _loopback(url: str) -> bool:
    from urllib.parse import urlsplit  # noqa: PLC0415  for the one check

    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
