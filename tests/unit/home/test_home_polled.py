"""Polled sources: each row once whatever happens, patience, and dead letters."""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING

import pytest

from home.config import Config
from home.engine import connect
from home.errors import ConfigError
from home.landing import Landing, dead_letters, look
from home.lines import Row, read as read_line
from home.sources import paths
from home.sources.ask import TRIES, Asker, SourceError, StoppedError
from home.sources.poll import Polled, round_of
from home.sources.rows import Keyed, Rows, every
from home.sources.run import PointKeep, SourceStatus, make_table, poll_once
from home.sources.settings import Source, read
from tests.home.api_server import BEGIN_S, TOKEN, Api, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("", (), {"a": {"b c": [1, {"d": 2}]}}),
        ("a", ("a",), {"b c": [1, {"d": 2}]}),
        ('a."b c"[1].d', ("a", "b c", 1, "d"), 2),
        ('a."b c"[9].d', ("a", "b c", 9, "d"), None),
        ("a.x.y", ("a", "x", "y"), None),
    ],
)
def test_fields_are_found_by_their_paths(text: str, path: paths.Path, value: object) -> None:
    """A path names one field, however deep; one that is not there is None."""
    assert paths.parse(text) == path
    assert paths.get({"a": {"b c": [1, {"d": 2}]}}, path) == value


@pytest.mark.parametrize("text", [".a", "a..b", "a.", "a[x]", "a b", "a[0", 'a"b"', "a.[0]"])
def test_what_is_no_path_is_refused(text: str) -> None:
    """A path with a slip is an error, not a field that is never there."""
    with pytest.raises(paths.PathError):
        paths.parse(text)


@pytest.fixture
def api() -> Iterator[Api]:
    """Run the server of the examples."""
    with running(Api()) as served:
        yield served


def _emissions(api: Api, file: Path, **more: object) -> Source:
    values = {
        "name": "emissions", "url": f"{api.url}/emissions.json", "every_s": 86_400,
        "pages": {"size": 1000, "limit": "$limit", "offset": "$offset"},
        "query": {"$order": ":id"}, "key": ["uuid"],
        "fields": {"id": "uuid", "department": "department", "tonnes": "emissions.co2"},
        **more,
    }  # fmt: skip
    (source,) = read([values], file)
    return source


def _fleet(api: Api, folder: Path, **more: object) -> Source:
    (folder / "token").write_text(TOKEN + "\n")
    values = {
        "name": "fleet", "url": f"{api.url}/vehicles", "every_s": 20, "rows": "response",
        "token": {"file": "token", "prefix": "Bearer "}, "units": {"time": "s", "speed": "mph"},
        "point": {
            "device": "display_name", "time": "drive_state.timestamp",
            "lat": "drive_state.latitude", "lon": "drive_state.longitude",
            "speed": "drive_state.speed", "track": "drive_state.heading",
        },
        **more,
    }  # fmt: skip
    (source,) = read([values], folder / "home.yaml")
    return source


class _Clock:
    """Waits by writing down for how long."""

    def __init__(self, *, stop_after: int = 99) -> None:
        self.waited: list[float] = []
        self._stop_after = stop_after

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return len(self.waited) >= self._stop_after


def _asker(source: Source, wait: _Clock) -> Asker:
    return Asker(source=source, wait=wait, random=Random(1))  # noqa: S311  no secret


def _poll(source: Source, landing: Landing, folder: Path) -> Polled:
    return poll_once(source, landing, folder, threading.Event(), SourceStatus(name=source.name))


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[Landing]:
    """Open a landing."""
    opened = Landing(tmp_path / "landing").open()
    yield opened
    opened.close()


def test_pages_become_a_table_and_a_second_round_adds_nothing(
    api: Api, landing: Landing, tmp_path: Path
) -> None:
    """All rows are there once, after one round and after two; the table's bytes stay the same."""
    source = _emissions(api, tmp_path / "home.yaml")

    first = _poll(source, landing, tmp_path)
    table = (tmp_path / "tables" / "emissions.parquet").read_bytes()
    second = _poll(source, landing, tmp_path)

    assert (first.pages, first.rows, first.new) == (4, 3_000, 3_000)
    assert (second.rows, second.new) == (3_000, 0)
    assert (tmp_path / "tables" / "emissions.parquet").read_bytes() == table
    assert "$order=%3Aid" in api.calls[0] or "%24order=%3Aid" in api.calls[0]
    with connect(Config(folder=tmp_path)) as base:
        rows = base.execute(
            "SELECT COUNT(*), COUNT(DISTINCT id), COUNT(DISTINCT department) FROM emissions"
        ).fetchall()
    assert rows == [(3_000, 3_000, 5)]


def test_a_round_that_was_cut_off_goes_on_where_it_was(
    api: Api, landing: Landing, tmp_path: Path
) -> None:
    """What pages brought before a fault is kept; the next round asks for the rest, then for all."""
    source = _emissions(api, tmp_path / "home.yaml")
    with Rows(landing.root / "tables" / "emissions") as rows:
        rows.add([], cursor=2, now=0)

    first = _poll(source, landing, tmp_path)
    second = _poll(source, landing, tmp_path)

    assert first.new == 1_000
    assert second.new == 2_000


@pytest.mark.thorough
def test_a_lost_index_and_a_lost_cursor_add_nothing(
    api: Api, landing: Landing, tmp_path: Path
) -> None:
    """Without the index, or with one of another landing, the keys are known from the rows."""
    source = _emissions(api, tmp_path / "home.yaml")
    _poll(source, landing, tmp_path)
    place = landing.root / "tables" / "emissions"
    for content in (None, b"", b"garbage" * 500):
        for each in place.glob("keys.sqlite*"):
            each.unlink()
        if content is not None:
            (place / "keys.sqlite").write_bytes(content)
        assert _poll(source, landing, tmp_path).new == 0


def test_segments_are_merged_and_a_kill_in_between_changes_nothing(tmp_path: Path) -> None:
    """Many small segments become one; if the small ones are still there they count once."""
    before = []
    with Rows(tmp_path / "rows") as rows:
        for number in range(40):
            rows.add([Keyed(f"[{number}]", f'{{"n":{number}}}')], cursor=number, now=0)
            before = [(path, path.read_bytes()) for path in rows.segments()]
        expected = list(every(rows.folder))
        rows.merge()
        merged = len(rows.segments())
        assert list(every(rows.folder)) == expected
        for path, content in before[:32]:
            path.write_bytes(content)
        assert list(every(rows.folder)) == expected

    with Rows(tmp_path / "rows") as again:
        assert merged == 9
        assert len(again.segments()) == 9
        assert again.cursor == 39
        assert again.add([Keyed("[3]", '{"n":3}')], cursor=39, now=0) == 0
        assert again.add([Keyed("[40]", '{"n":40}')], cursor=40, now=0) == 1


def test_a_row_that_changed_is_the_newest_version_of_itself(
    api: Api, landing: Landing, tmp_path: Path
) -> None:
    """Another content under the same key replaces it in the table, and stays in the landing."""
    source = _emissions(api, tmp_path / "home.yaml")
    _poll(source, landing, tmp_path)
    api.broken[7] = {"uuid": "00000007", "department": "Moved", "emissions": {"co2": "1"}}

    changed = _poll(source, landing, tmp_path)

    assert changed.new == 1
    with connect(Config(folder=tmp_path)) as base:
        query = "SELECT COUNT(*), ANY_VALUE(department) FROM emissions WHERE id = '00000007'"
        assert base.execute(query).fetchall() == [(1, "Moved")]
    assert sum(key == '["00000007"]' for key, _ in every(landing.root / "tables/emissions")) == 2


def test_rows_without_their_key_are_dead_letters_once(
    api: Api, landing: Landing, tmp_path: Path
) -> None:
    """What cannot be taken is kept with its reason, once however often it comes."""
    source = _emissions(api, tmp_path / "home.yaml")
    api.broken |= {3: {"department": "x"}, 5: "text", 8: {"uuid": {"a": 1}}}

    first = _poll(source, landing, tmp_path)
    _poll(source, landing, tmp_path)

    segments, _ = look(landing.root)
    dead = [found for _, _, found in dead_letters(landing.root, segments)]
    assert (first.new, first.dead) == (2_997, 3)
    assert sorted(found.raw for found in dead) == [
        b'"text"', b'{"department":"x"}', b'{"uuid":{"a":1}}',
    ]  # fmt: skip
    assert landing.total.dead == 3


def test_other_fields_make_another_table_of_the_same_rows(
    api: Api, landing: Landing, tmp_path: Path
) -> None:
    """The landing keeps what came; `fields:` may change later, and nothing is asked again."""
    _poll(_emissions(api, tmp_path / "home.yaml"), landing, tmp_path)
    calls = len(api.calls)
    other = _emissions(api, tmp_path / "home.yaml", fields={"year": "fiscal_year"})

    assert make_table(other, tmp_path)
    assert not make_table(other, tmp_path)

    with connect(Config(folder=tmp_path)) as base:
        assert base.execute("SELECT DISTINCT year FROM emissions").fetchall() == [("2019",)]
    assert len(api.calls) == calls


def test_a_feed_becomes_positions_each_once(api: Api, landing: Landing, tmp_path: Path) -> None:
    """Moving and parked vehicles are points in m/s and ms; one that sleeps is no fault."""
    source = _fleet(api, tmp_path)
    keep = PointKeep(source, landing)
    for api.minute in range(5):
        round_of(source, _asker(source, _Clock()), keep)
    round_of(source, _asker(source, _Clock()), PointKeep(source, landing))

    found: dict[tuple[str, int], Row] = {}
    for name in look(landing.root)[0]:
        for line in (landing.root / name).read_bytes().splitlines():
            row = read_line(line)
            assert isinstance(row, Row)
            found[row.device, row.seq] = row
    moving = [row for (device, _), row in sorted(found.items()) if device == "model-3"]
    assert [row.time for row in moving] == [(BEGIN_S + 20 * at) * 1000 for at in range(5)]
    assert moving[0].speed == pytest.approx(31 * 0.44704)
    assert moving[0].track == 27
    assert [device for device, _ in found].count("parked") == 1
    assert landing.total.dead == 0


def test_patience_with_a_bad_moment(api: Api, tmp_path: Path) -> None:
    """429 waits as long as it says, 5xx longer each time, and then it goes on."""
    source, clock = _fleet(api, tmp_path), _Clock()
    api.faults += [(429, {"Retry-After": "7"}), (503, {}), (500, {}), (429, {"Retry-After": "no"})]

    answer = _asker(source, clock).ask({})

    assert answer["count"] == 3
    assert clock.waited[0] == 7
    assert 1 <= clock.waited[1] <= 2 <= clock.waited[2] <= 4 <= clock.waited[3] <= 8


def test_what_patience_does_not_help_is_told(api: Api, tmp_path: Path) -> None:
    """A wrong token or address ends at once, a server that stays ill after some tries."""
    source = _fleet(api, tmp_path)
    (tmp_path / "token").write_text("another\n")
    with pytest.raises(SourceError, match=r"401.*no such token"):
        _asker(source, _Clock()).ask({})
    assert len(api.calls) == 1

    api.faults += [(503, {})] * TRIES
    with pytest.raises(SourceError, match=f"503 a bad moment; {TRIES} tries"):
        _asker(source, _Clock()).ask({})


def test_told_to_stop_it_does_not_wait(api: Api, tmp_path: Path) -> None:
    """A stop while it is patient ends it."""
    api.faults += [(503, {})] * 9
    with pytest.raises(StoppedError):
        _asker(_fleet(api, tmp_path), _Clock(stop_after=1)).ask({})


def test_a_missing_token_says_which_file(api: Api, tmp_path: Path) -> None:
    """Without its token nothing is asked, and the file is named."""
    source = _fleet(api, tmp_path)
    (tmp_path / "token").unlink()

    with pytest.raises(SourceError, match=r"token.*No such file"):
        _asker(source, _Clock()).ask({})
    assert api.calls == []


def test_a_cursor_is_kept_and_goes_on(api: Api, landing: Landing, tmp_path: Path) -> None:
    """The answer's word is where the next question goes on, in the next round too."""
    (source,) = read(
        [{"name": "events", "url": f"{api.url}/events", "rows": "items", "key": ["id"],
          "cursor": {"from": "meta.next", "as": "after"}}],
        tmp_path / "home.yaml",
    )  # fmt: skip
    api.data_set = 25

    first = _poll(source, landing, tmp_path)
    api.data_set = 31
    second = _poll(source, landing, tmp_path)

    assert (first.new, second.new) == (25, 6)
    assert "after=25" in api.calls[4]


def test_a_server_that_gives_one_page_for_ever_is_left(
    api: Api, landing: Landing, tmp_path: Path
) -> None:
    """Pages that are all the same end with an error that says so, not never."""
    source = _emissions(api, tmp_path / "home.yaml", pages={"size": 1000, "number": "page"})

    with pytest.raises(SourceError, match="same rows"):
        _poll(source, landing, tmp_path)


def test_all_mistakes_of_sources_are_told_at_once(tmp_path: Path) -> None:
    """Each wrong field is named with its place and a cure."""
    wrong = [
        {"name": "points", "url": "https://x/", "key": ["id"]},
        {"name": "a", "url": "nonsense", "every_s": 0, "key": ["a..b"], "pages": {"size": 1}},
        {"name": "a", "url": "http://example.org/", "token": {"file": "t"}, "keys": 1,
         "point": {"lat": "lat", "time": "t"}, "units": {"time": "h"}},
    ]  # fmt: skip

    with pytest.raises(ConfigError) as raised:
        read(wrong, tmp_path / "home.yaml")

    for place in ("sources[0].name", "sources[1].url", "sources[1].every_s", "sources[1].key[0]",
                  "sources[1].pages", "two are called a", "sources[2].keys: unknown",
                  "sources[2].point.lon", "sources[2].point.device", "sources[2].units.time",
                  "sources[2].url: 'http://example.org/' cannot be meant; hint: https",
                  ):  # fmt: skip
        assert place in str(raised.value), place
