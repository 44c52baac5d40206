"""The old batch's table, reproduced from its own kind of input, by one text on two engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from home import engine, traffic
from home.cli import main
from home.errors import HomeError

DATA = Path(__file__).with_name("data")
INPUT = DATA / "detector-37.csv"
if TYPE_CHECKING:
    from collections.abc import Iterable

OLD = (
    "uniqueid", "recordtimestamp", "currentspeed", "bezettingsgraad", "previousspeed",
    "trafficjamindicator", "trafficintensityclass2", "trafficintensityclass3",
    "trafficintensityclass4", "trafficintensityclass5", "speeddiffindicator", "avgspeed2minutes",
    "avgspeed10minutes",
)  # fmt: skip


def known(row: Iterable[float | None]) -> list[float]:
    """Give a row with a number that stands for nothing, so that rows can be compared."""
    return [-1e9 if value is None else value for value in row]


def golden() -> list[list[float | None]]:
    """Read the table as the old batch's document shows it."""
    lines = (DATA / "traffic.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert tuple(cells[0]) == OLD
    return [[float(cell) if cell else None for cell in row] for row in cells[2:]]


@pytest.mark.parametrize("on", ["duckdb", "sqlite"])
def test_golden_table(on: str) -> None:
    """Every cell of the table comes out, on DuckDB and on SQLite."""
    names, rows = traffic.metrics(traffic.read(INPUT), on=on)

    assert tuple(names[: len(OLD)]) == OLD
    found = [list(row[: len(OLD)]) for row in rows]
    for row, wanted in zip(found, golden(), strict=True):
        assert known(row) == pytest.approx(known(wanted), rel=1e-14)


@pytest.mark.parametrize("on", ["duckdb", "sqlite"])
def test_true_time_and_true_speed_have_their_own_names(on: str) -> None:
    """One car at 114 km/h is 114 km/h, and two minutes are two minutes, also over a hole."""
    text = INPUT.read_text().splitlines()
    hole = [text[0], *text[1:4], *text[6:]]
    names, rows = traffic.metrics(traffic.read(INPUT), on=on)
    assert dict(zip(names, rows[4], strict=True))["speed_kmh"] == 114
    path_rows = [row for row in traffic.read(INPUT) if row[1] not in (1594684980, 1594685040)]
    assert len(path_rows) == len(hole) - 1
    names, rows = traffic.metrics(path_rows, on=on)

    first = dict(zip(names, rows[3], strict=True))
    assert first["recordtimestamp"] == 1594685100
    assert first["avg_120s_kmh"] == first["speed_kmh"]
    assert first["avgspeed2minutes"] != pytest.approx(first["currentspeed"])


def test_engines_agree_on_any_rows() -> None:
    """One file of SQL means the same on both, with classes missing, holes and several detectors."""
    rows: list[tuple[object, ...]] = [
        (
            detector, 1_594_684_800 + minute * 60, (minute * 7 + detector) % 5,
            *(None if (minute + lane) % 3 == 0 else 20.0 + (minute * 13 + lane * 7) % 100
              for lane in range(4)),
            *(0 if (minute + lane) % 3 == 0 else (minute + lane) % 4 + 1 for lane in range(4)),
        )
        for detector in (37, 38)
        for minute in range(300)
        if minute % 11
    ]  # fmt: skip
    names, one = traffic.metrics(rows)
    names_too, other = traffic.metrics(rows, on="sqlite")

    assert names == names_too
    assert len(one) == len(rows)
    for row, too in zip(one, other, strict=True):
        assert known(row) == pytest.approx(known(too), rel=1e-12)


def test_mistakes_of_a_table_are_told_with_their_lines(tmp_path: Path) -> None:
    """A wrong cell names its line; a missing column names itself."""
    path = tmp_path / "rows.csv"
    path.write_text(INPUT.read_text().replace("1594684860", "noon").replace(",77,", ",x,"))
    with pytest.raises(HomeError, match="line 3"):
        traffic.read(path)
    path.write_text("detector,time\n")
    with pytest.raises(HomeError, match="no column occupancy"):
        traffic.read(path)


def test_days_are_files_that_come_out_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`home traffic --out`: a file for each day; a backfill of one day rewrites that one only."""
    out = tmp_path / "out"
    assert main(["traffic", str(INPUT), "--out", str(out)]) == 0
    first = (out / "2020-07-14.csv").read_bytes()
    words = ["traffic", str(INPUT), "--out", str(out), "--from", "2020-07-14", "--to", "2020-07-14"]

    assert main([*words, "--on", "sqlite"]) == 0
    assert (out / "2020-07-14.csv").read_bytes() == first
    assert "7 rows" in capsys.readouterr().out


def test_texts_keep_to_the_common_subset() -> None:
    """No word of one engine alone stands in a text that several engines run."""
    texts = [path for path in engine.SQL.rglob("*.sql") if path.parent.name != "duckdb"]

    assert len(texts) > 8
    for path in texts:
        code = "\n".join(line.partition("--")[0].upper() for line in path.read_text().splitlines())
        for word in ("QUALIFY", "INTERVAL", "STRFTIME", "DATE_", "EXCLUDE", "STRING_AGG", " // "):
            assert word not in code, f"{path}: {word}"
