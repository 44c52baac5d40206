"""The producer: what it makes is a vehicle's, the same each time, and the comparison is strict."""

from __future__ import annotations

import argparse
import http.server
import json
import math
import threading
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import jsonschema
import pytest

from home.errors import HomeError
from home.simulate import command, compare
from home.simulate.mishaps import NONE, Plan, Rates, Truth, everything, flipped
from home.simulate.roads import M_PER_DEGREE, Country
from home.simulate.vehicle import Hole
from telematics.record import SCHEMA, decode, head, whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEGIN = datetime(2026, 5, 4, tzinfo=UTC)
PLAN = Plan(events=12_000, vehicles=3, seed=7, begin=BEGIN)
OFTEN = Rates(repeat=0.01, disorder=0.005, damaged_copy=0.01, damaged_for_good=0.002)


@pytest.mark.thorough
def test_the_same_seed_makes_the_same_messages() -> None:
    """Two runs of one plan agree byte for byte, another seed makes other drives."""
    messages, _ = everything(PLAN)
    again, _ = everything(PLAN)
    others, _ = everything(replace(PLAN, seed=8))

    assert messages == again
    assert {one.raw for one in messages}.isdisjoint(one.raw for one in others)


def test_as_many_records_as_asked_for() -> None:
    """What arrives whole and what is lost to damage add up to the events that were asked for."""
    _, truth = everything(replace(PLAN, rates=OFTEN))

    vanished = sum(1 for hole in truth.holes if hole.kind == "unexplained")
    assert truth.events < PLAN.events
    assert truth.events + sum(
        hole.last - hole.first + 1 for hole in truth.holes if hole.kind == "unexplained"
    ) == PLAN.events  # fmt: skip
    assert vanished > 0


def test_records_follow_the_schema() -> None:
    """Every sound message is a record by the schema that receivers read."""
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    messages, _ = everything(replace(PLAN, events=2_000))

    for message in messages:
        if whole(message.raw):
            validator.validate(json.loads(message.raw))


def test_truth_says_what_a_receiver_has_to_make_of_it() -> None:
    """Reading all messages, each once, gives the truth: records, dead letters and holes."""
    messages, truth = everything(replace(PLAN, rates=OFTEN))
    seen: dict[tuple[str, str], set[int]] = {}
    announced: dict[tuple[str, str, int], tuple[int, int]] = {}
    for message in messages:
        if not whole(message.raw):
            assert message.raw in truth.damaged
            continue
        record = decode(message.raw)
        seen.setdefault(record.identity[:2], set()).add(record.seq)
        if record.gap:
            announced[*record.identity[:2], record.seq] = (record.gap.lost, record.gap.skipped)
    for identity, numbers in seen.items():
        holes = [hole for hole in truth.holes if (hole.device, hole.installation) == identity]
        missing = {seq for hole in holes for seq in range(hole.first, hole.last + 1)}
        assert numbers == set(truth.records[identity])
        assert numbers | missing == set(range(min(numbers), max(numbers) + 1))
        assert not numbers & missing
    said = sum(lost + skipped for lost, skipped in announced.values())
    told = (hole for hole in truth.holes if hole.kind != "unexplained")
    assert said == sum(hole.last - hole.first + 1 for hole in told)


def test_mishaps_of_every_kind_are_there() -> None:
    """Repeats, disorder, damage, outages, tunnels, cuts and cold starts all happen."""
    messages, truth = everything(replace(PLAN, events=24_000, vehicles=2))
    records = [decode(one.raw) for one in messages if whole(one.raw)]
    of_one = [record for record in records if record.identity.device == "truck-1"]
    numbers = [record.seq for record in of_one]
    times = [record.time for record in of_one if record.time_ok and record.time]

    assert truth.repeats > 0
    assert len(set(numbers)) < len(numbers)
    assert numbers != sorted(numbers)
    assert truth.damaged
    assert {hole.kind for hole in truth.holes} >= {"skipped", "unexplained"}
    assert len({record.identity.boot for record in of_one}) > 1
    assert any(record.time is None for record in records)
    assert any(record.time and record.time < 1_500_000_000_000 for record in records)
    assert len(times) > 1_000


def test_a_vehicle_moves_as_vehicles_do() -> None:
    """It goes as far as its speed says, brakes and speeds up as a truck can, stops at the ends."""
    country, random = Country(Random(3)), Random(4)  # noqa: S311  no secret
    for start, end in ((0, 5), (7, 2), (11, 19)):
        moments = list(country.drive(random, start, end))
        jumps = [
            math.hypot(
                (after.lat - before.lat) * M_PER_DEGREE,
                (after.lon - before.lon) * M_PER_DEGREE * math.cos(math.radians(before.lat)),
            )
            for before, after in pairwise(moments)
        ]
        for (before, after), jump in zip(pairwise(moments), jumps, strict=True):
            assert jump <= before.speed + 1.0
            assert -6.0 < after.speed - before.speed < 4.0
        assert moments[0].speed < 3.0
        assert moments[-1].speed < 6.0
        assert max(moment.speed for moment in moments) < 130 / 3.6
        assert any(moment.speed == 0 for moment in moments) or len(moments) < 1_500


def test_routes_share_their_roads() -> None:
    """Two drives between the same towns take the same road: routes meet, as real ones do."""
    country = Country(Random(3))  # noqa: S311  no secret
    one, other = (
        {(round(moment.lat, 3), round(moment.lon, 3)) for moment in country.drive(Random(n), 0, 5)}  # noqa: S311  no secret
        for n in (1, 2)
    )

    assert len(one & other) > 0.5 * len(one)


def test_a_flipped_bit_is_noticed_and_stays_json() -> None:
    """What is damaged on purpose fails its checksum and cannot break the array it stands in."""
    (message, *_), _ = everything(replace(PLAN, events=3, rates=NONE))
    random = Random(1)  # noqa: S311  no secret

    for _ in range(300):
        damaged = flipped(random, message.raw)
        assert not whole(damaged)
        assert json.dumps(json.loads(damaged), separators=(",", ":")).encode() == damaged


@pytest.fixture(scope="module")
def made() -> tuple[list[bytes], Truth]:
    """Give some messages and their truth."""
    messages, truth = everything(replace(PLAN, events=3_000, rates=OFTEN))
    return [message.raw for message in messages], truth


def test_comparison_finds_nothing_where_nothing_is(made: tuple[list[bytes], Truth]) -> None:
    """What was made, in any order, compares as equal."""
    raws, truth = made
    once = list(dict.fromkeys(raws))[::-1]

    assert compare.records(truth, once).lines() == []
    assert compare.letters(truth, (raw for raw in raws if not whole(raw))).lines() == []
    assert compare.holes(truth, truth.holes).lines() == []


def test_comparison_names_each_difference(made: tuple[list[bytes], Truth]) -> None:
    """A record less, twice, unknown or changed, a letter or hole less or more: each is named."""
    raws, truth = made
    once = [raw for raw in dict.fromkeys(raws) if whole(raw)]
    first = decode(once[0])
    name = f"{first.identity.device}/{first.identity.installation}/{first.seq}"
    stranger = first._replace(seq=10**6, trip=10**6).encode()
    changed = first._replace(lat=first.lat + 0.1).encode()
    hole = Hole(device="truck-9", installation="222222", kind="lost", first=3, last=5)

    assert compare.records(truth, once[1:]).missing == [name]
    assert compare.records(truth, [*once, once[0]]).twice == [name]
    assert compare.records(truth, [*once, stranger]).unknown == [
        name.rpartition("/")[0] + "/1000000"
    ]
    assert compare.records(truth, [changed, *once[1:]]).changed == [name]
    assert len(compare.letters(truth, truth.damaged[1:]).dead_missing) == 1
    assert compare.letters(truth, [*truth.damaged, b"x"]).dead_unknown == ["b'x'"]
    assert compare.holes(truth, [*truth.holes, hole]).holes_unknown == [
        "truck-9/222222 3 to 5 lost"
    ]
    assert len(compare.holes(truth, truth.holes[1:]).holes_missing) == 1


def test_holes_may_be_told_in_pieces(made: tuple[list[bytes], Truth]) -> None:
    """A hole told as two neighbours of one kind is the same hole."""
    _, truth = made
    truth = replace(truth, holes=[Hole(device="a", installation="b", kind="lost", first=3, last=9)])
    (wide,) = truth.holes
    pieces = [
        hole for hole in truth.holes if hole != wide
    ] + [replace(wide, last=wide.first), replace(wide, first=wide.first + 1)]  # fmt: skip

    assert compare.holes(truth, pieces).lines() == []


class _Receiver(http.server.BaseHTTPRequestHandler):
    """Takes arrays of records; fails now and then, also after it took one."""

    protocol_version = "HTTP/1.1"
    taken: list[tuple[str, list[object]]]
    fail: list[int]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.taken.append((self.headers["X-API-Key"], body))
        status = self.fail.pop() if self.fail else 200
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[_Receiver]]]:
    """Run a receiver on the loopback; gives its address and what it took."""
    handler = type("Handler", (_Receiver,), {"taken": [], "fail": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/records", handler
        server.shutdown()
        thread.join()


def _options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add(parser)
    return parser.parse_args(words)


def test_http_gets_all_of_it_each_vehicle_with_its_key(
    receiver: tuple[str, type[_Receiver]], tmp_path: Path
) -> None:
    """Every message arrives; a refused request is sent again; keys are those of the vehicles."""
    url, handler = receiver
    handler.fail += [503, 500]
    (tmp_path / "api-key").write_text("shared\n")
    (tmp_path / "truck-2").mkdir()
    (tmp_path / "truck-2" / "api-key").write_text("second\n")
    said: list[str] = []

    end = command.run(
        _options("--http", url, "--events", "2500", "--workers", "3", "--secrets", str(tmp_path)),
        say=said.append,
    )

    raws = [
        (key, json.dumps(one, separators=(",", ":")).encode())
        for key, body in handler.taken
        for one in body
    ]
    expected, truth = everything(replace(PLAN, events=2_500, seed=1))
    assert end == 0
    assert {raw for _, raw in raws} == {message.raw for message in expected}
    assert compare.records(truth, (raw for _, raw in raws), once=False).lines() == []
    for key, raw in raws:
        record = head(raw)
        if record:
            assert key == ("second" if record.device == "truck-2" else "shared")


def test_delay_sends_events_one_by_one(
    receiver: tuple[str, type[_Receiver]], tmp_path: Path
) -> None:
    """With a delay between events each goes in a request of its own, as a live vehicle's does."""
    url, handler = receiver
    (tmp_path / "api-key").write_text("shared\n")

    command.run(
        _options("--http", url, "--events", "20", "--max-delay", "0.01", "--secrets",
                 str(tmp_path), "--clean"),
        say=lambda _: None,
    )  # fmt: skip

    assert [len(body) for _, body in handler.taken] == [1] * 20


def test_without_a_key_it_says_which_file(tmp_path: Path) -> None:
    """No key is one clear error that names the file and the cure."""
    with pytest.raises(HomeError, match="api-key: no such file; hint: --secrets"):
        command.run(_options("--http", "http://127.0.0.1:9/", "--secrets", str(tmp_path)))


@pytest.mark.parametrize("words", [["--events", "0"], ["--max-delay", "nan"], ["--from", "x"]])
def test_wrong_numbers_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A number that cannot be meant ends with a line that names the option."""
    with pytest.raises(SystemExit):
        _options("--http", "http://127.0.0.1:9/", *words)

    assert words[0] in capsys.readouterr().err


def test_nmea_says_where_the_vehicle_was(tmp_path: Path) -> None:
    """What is written for a board's receiver is the drive: right sums, times and positions."""
    log = tmp_path / "drive.nmea"

    command.run(
        _options("--nmea", str(log), "--vehicles", "1", "--events", "300"), say=lambda _: None
    )

    lines = log.read_bytes().split(b"\r\n")[:-1]
    _, truth = everything(Plan(events=300, vehicles=1, seed=1, begin=BEGIN, rates=NONE))
    (records,), (times,) = truth.records.values(), truth.times.values()
    for (seq, raw), rmc in zip(records.items(), lines[::3], strict=True):
        record, body = decode(raw), rmc[1:-3]
        total = 0
        for byte in body:
            total ^= byte
        clock, _, lat, north, lon, east, _, _, date = body.decode().split(",")[1:10]
        when = datetime.strptime(date + clock, "%d%m%y%H%M%S.%f").replace(tzinfo=UTC)
        assert int(rmc[-2:], 16) == total
        assert when.timestamp() * 1000 == times[seq]
        assert (north, east) == ("N", "E")
        assert float(lat[:2]) + float(lat[2:]) / 60 == pytest.approx(record.lat, abs=1e-6)
        assert float(lon[:3]) + float(lon[3:]) / 60 == pytest.approx(record.lon, abs=1e-6)
