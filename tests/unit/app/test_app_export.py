"""What a card still holds becomes a file that other programs open."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from telematics import cli, export
from telematics.journal import NAME, SALVAGED
from telematics.record import Gap, Identity, Record
from telematics.repair import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = 1_790_000_000_000
GPX = "{http://www.topografix.com/GPX/1/1}"


def made(seq: int, *, trip: int = 1, boot: str = "1f0c9a", mono: int | None = None) -> Record:
    """Give a record of a drive north."""
    return Record(
        identity=Identity(device="truck-7", installation="k3x9w2", boot=boot), seq=seq, trip=trip,
        time=BEGIN + seq * 1000, mono=seq * 1000 if mono is None else mono,
        lat=round(52 + seq / 1e4, 6), lon=13.4, mode=3, time_ok=True, alt=34.5, speed=11.0,
    )  # fmt: skip


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Give a data partition: a base, an increment, what was saved, what waits, and damage."""
    folder = tmp_path / "card/queue" / FOLDER
    state = tmp_path / "card/telematics"
    folder.mkdir(parents=True)
    state.mkdir()
    raws = {seq: made(seq).encode() for seq in range(1, 11)}
    torn = made(99).encode()[:-9]
    (folder / "appendonly.aof.1.base.aof").write_bytes(b"\r\n".join([raws[3], raws[4], raws[5]]))
    (folder / "appendonly.aof.1.incr.aof").write_bytes(
        b"\r\n".join([raws[5], raws[6], b"\0\0", torn])
    )
    (state / SALVAGED).write_bytes(raws[1] + b"\n" + raws[2] + b"\n")
    (state / NAME).write_bytes(b"\n".join(raws[seq] for seq in (7, 8, 9, 10)) + b"\n")
    return tmp_path / "card"


def rows(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_card_in_another_computer(
    card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every whole record is there once, in order, from whatever file; damage is passed over."""
    target = tmp_path / "drive.csv"

    assert cli.main(["export", "--card", str(card), str(target)]) == 0

    found = rows(target)
    assert [int(row["seq"]) for row in found] == list(range(1, 11))
    assert found[0]["time"] == "2026-09-21T14:13:21.000Z"
    assert [float(row["lat"]) for row in found] == [made(seq).lat for seq in range(1, 11)]
    assert {row["climb"] for row in found} == {""}
    assert capsys.readouterr().out == f"{target}: 10 records of 1 trip\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card", "drive.csv"]


def test_gpx_is_what_its_schema_says(card: Path, tmp_path: Path) -> None:
    """A track for each trip, a segment for each piece: position, height and time of each record."""
    more = [made(11), made(12, mono=500_000), made(13, boot="2b"), made(15, boot="2b")]
    more += [made(16, trip=16, boot="2b")]
    with (card / "telematics" / NAME).open("ab") as file:
        file.writelines(each.encode() + b"\n" for each in more)

    export.export(card / "queue", card / "telematics", tmp_path / "drive.gpx")

    root = ET.parse(tmp_path / "drive.gpx").getroot()  # noqa: S314  our own file
    assert root.tag == f"{GPX}gpx"
    assert root.attrib == {"version": "1.1", "creator": "telematics"}
    tracks = root.findall(f"{GPX}trk")
    assert [track.findtext(f"{GPX}name") for track in tracks] == [
        "truck-7/k3x9w2/1", "truck-7/k3x9w2/16",
    ]  # fmt: skip
    sizes = [len(piece.findall(f"{GPX}trkpt")) for piece in tracks[0].findall(f"{GPX}trkseg")]
    assert sizes == [11, 1, 1, 1], "a silence, a restart and a lost record break the line"
    first = root.find(f".//{GPX}trkpt")
    assert first is not None
    assert first.attrib == {"lat": "52.0001", "lon": "13.4"}
    assert [(child.tag, child.text) for child in first] == [
        (f"{GPX}ele", "34.5"), (f"{GPX}time", "2026-09-21T14:13:21.000Z"),
    ]  # fmt: skip


def test_geojson_has_lines_and_single_points(card: Path, tmp_path: Path) -> None:
    """RFC 7946 wants two places in a line, longitude first."""
    with (card / "telematics" / NAME).open("ab") as file:
        file.write(made(20, trip=20).encode() + b"\n")

    done = export.export(card / "queue", card / "telematics", tmp_path / "drive.geojson")

    features = json.loads((tmp_path / "drive.geojson").read_text())["features"]
    assert done == export.Exported(records=11, trips=2)
    line, point = (each["geometry"] for each in features)
    assert line["type"] == "LineString"
    assert line["coordinates"][0] == [13.4, 52.0001]
    assert point == {"type": "Point", "coordinates": [13.4, 52.002]}
    assert features[0]["properties"]["end"] == "2026-09-21T14:13:30.000Z"


def test_unknown_times_and_odd_names(tmp_path: Path) -> None:
    """A record without a time, or with one that no calendar has, is a point without a time."""
    odd = [
        made(1)._replace(time=None),
        made(2)._replace(time=10**18),
        made(3)._replace(receiver="a<b>&", gap=Gap(lost=1, skipped=2)),
    ]
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / NAME).write_bytes(b"\n".join(each.encode() for each in odd))
    for suffix in export.FORMS:
        export.export(tmp_path / "queue", tmp_path / "state", tmp_path / f"drive{suffix}")

    table = rows(tmp_path / "drive.csv")
    assert [row["time"] for row in table] == ["", "", "2026-09-21T14:13:23.000Z"]
    assert (table[2]["receiver"], table[2]["lost"], table[2]["skipped"]) == ("a<b>&", "1", "2")
    root = ET.parse(tmp_path / "drive.gpx").getroot()  # noqa: S314  our own file
    points = root.findall(f".//{GPX}trkpt")
    assert [point.find(f"{GPX}time") is not None for point in points] == [False, False, True]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["drive.kml"], "drive.kml: no known form; hint: a name that ends with .gpx"),
        (["nowhere/drive.gpx"], "nowhere/.drive.gpx.half: No such file or directory"),
        (["--card", "empty", "drive.gpx"], "no record in empty/queue or empty/telematics; hint:"),
    ],
)
def test_mistakes_are_sentences(
    card: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    told: str,
) -> None:
    """What cannot be done is said with the cure, and an earlier file stays."""
    monkeypatch.chdir(card.parent)
    (card.parent / "drive.gpx").write_text("earlier")
    given = words if "--card" in words else ["--card", "card", *words]

    assert cli.main(["export", *given]) == 2

    assert told in capsys.readouterr().err
    assert (card.parent / "drive.gpx").read_text() == "earlier"


def test_a_file_that_the_server_rewrote_meanwhile(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server renames what it rewrites: the folder is listed again."""
    folder = card / "queue" / FOLDER
    listed = export._files

    def once(queue: Path, state: Path) -> object:
        found = listed(queue, state)
        old = folder / "appendonly.aof.1.base.aof"
        if old.exists():
            old.rename(folder / "appendonly.aof.2.base.aof")
        return found

    monkeypatch.setattr(export, "_files", once)

    done = export.export(card / "queue", card / "telematics", tmp_path / "drive.csv")

    assert done.records == 10
