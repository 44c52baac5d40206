"""Exports are what other programs' readers take."""

from __future__ import annotations

import csv
import json
import sqlite3
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import duckdb
import pytest

from home.cli import main
from tests.home import filled, made

if TYPE_CHECKING:
    from pathlib import Path

GPX = "{http://www.topografix.com/GPX/1/1}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a home with a drive that has a hole in it."""
    raws = [
        made.record(
            "truck-7", seq, at_ms=made.START_MS + seq * 1000, mono=seq * 1000,
            lat=round(52 + seq / 10_000, 6), gap=(1, 0) if seq == 500 else None,
        )
        for seq in range(1, 1000)
        if not 300 <= seq < 400 and seq != 499
    ]  # fmt: skip
    return filled.built(tmp_path / "home", raws)


def export(folder: Path, view: str, name: str, *words: str) -> Path:
    """Export a view, and give the file."""
    target = folder.parent / name
    assert main(["--folder", str(folder), "export", view, str(target), *words]) == 0
    return target


@pytest.mark.thorough
def test_gpx_is_tracks_with_segments(folder: Path) -> None:
    """GPX 1.1: a track a trip, a segment up to each hole, places, heights and times in order."""
    root = ET.parse(export(folder, "points", "drive.gpx")).getroot()  # noqa: S314  our own

    assert (root.tag, root.get("version")) == (GPX + "gpx", "1.1")
    assert root.get("creator")
    (track,) = root.findall(GPX + "trk")
    segments = track.findall(GPX + "trkseg")
    assert [len(each) for each in segments] == [299, 599]
    point = segments[1][0]
    assert (point.get("lat"), point.get("lon")) == ("52.040000", "13.400000")
    assert [each.tag.removeprefix(GPX) for each in point] == ["ele", "time"]
    assert point[1].text == "2026-09-21T14:20:00.000Z"


def test_geojson_has_longitude_first(folder: Path) -> None:
    """RFC 7946: a feature each, a line for a trip and for a gap, a point for a position."""
    for view, kind in (("trips", "LineString"), ("gaps", "LineString"), ("points", "Point")):
        found = json.loads(export(folder, view, f"{view}.geojson").read_text())
        assert found["type"] == "FeatureCollection"
        first = found["features"][0]
        assert first["geometry"]["type"] == kind
        places = first["geometry"]["coordinates"]
        lon, lat = places[0] if kind == "LineString" else places
        assert (lon, int(lat)) == (13.4, 52)


def test_tables_have_every_row_and_name(folder: Path) -> None:
    """Parquet, CSV and SQLite hold the view's rows under its names."""
    query = "SELECT * FROM points ORDER BY seq"
    wanted = filled.rows(folder, query)
    parquet = export(folder, "points", "points.parquet")
    found = duckdb.sql(f"SELECT * FROM '{parquet}' ORDER BY seq").fetchall()
    base = sqlite3.connect(export(folder, "points", "points.sqlite"))
    with export(folder, "points", "points.csv").open(newline="") as file:
        table = list(csv.DictReader(file))

    assert found == wanted
    assert base.execute(query).fetchall() == wanted
    assert [int(row["seq"]) for row in table] == [row[3] for row in wanted]


def test_part_of_it_can_be_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By day and by vehicle; a name without a known form, or no view, is one clear error."""
    assert len(export(folder, "points", "a.csv", "--from", "2026-09-22").read_text().split()) == 1
    assert len(export(folder, "points", "b.csv", "--device", "x' OR 1=1").read_text().split()) == 1
    for words in (["points", "a.xls"], ["pints", "a.csv"], ["trips", "a.gpx"]):
        assert main(["--folder", str(folder), "export", *words]) == 1
    assert "hint" in capsys.readouterr().err


def test_sql_answers_and_tells_a_mistake(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`home sql` gives a table, CSV or JSON; a mistake is a line that says where."""
    query = "SELECT kind, numbers FROM gaps ORDER BY first_seq"
    assert main(["--folder", str(folder), "sql", "--json", query]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"kind": "unexplained", "numbers": 100}, {"kind": "lost", "numbers": 1},
    ]  # fmt: skip
    assert main(["--folder", str(folder), "sql", "SELECT * FROM pints"]) == 1
    assert "error: sql: Catalog Error" in capsys.readouterr().err


def test_questions_to_an_empty_home_are_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every view is there before the first record is."""
    for view in ("points", "trips", "stops", "gaps", "windows", "dead"):
        assert (
            main(["--folder", str(tmp_path), "sql", "--csv", f"FROM {view} SELECT COUNT(*)"]) == 0
        )
        assert capsys.readouterr().out.splitlines()[-1] == "0"
