"""The page's way from an empty machine to the first trip, as it is written there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.home import made
from tests.home.parts import CHECKOUT, HomeProcess, command, until
from tests.home.test_http import post

if TYPE_CHECKING:
    from pathlib import Path

DOC = CHECKOUT / "docs/home.md"


def test_first_trip_as_the_page_says(tmp_path: Path) -> None:
    """The commands and the home.yaml of docs/home.md, one after the other, end with a trip."""
    page = DOC.read_text()
    blocks = re.findall(r"```\n(\./invoke home.*?)\n```", page, re.DOTALL)
    assert [block.split()[2:4] for block in blocks] == [["--", "key"], [], ["--", "sql"]]
    (text,) = re.findall(r"```yaml\n(folder:.*?)```", page, re.DOTALL)

    data = tmp_path / "home-data"
    made_key = command(data, *blocks[0].split()[3:])
    assert made_key.returncode == 0, made_key.stderr
    assert "truck-7: { key_file: keys/truck-7 }" in made_key.stdout
    home = HomeProcess(tmp_path, text.replace("folder: home-data\n", "listen: 127.0.0.1:0\n"))
    home.start()
    raws = [
        made.record(
            "truck-7", seq, at_ms=made.START_MS + seq * 1000, mono=seq * 1000,
            lat=round(52 + seq * 0.000135, 6), speed=15.0,
        )
        for seq in range(1, 301)
    ]  # fmt: skip
    key = (tmp_path / "keys/truck-7").read_text().strip()
    assert post(home, b"[" + b",".join(raws) + b"]", key=key)[0] == 200
    until(lambda: list(home.data.glob("days/*/built")), what="the first day")
    query = re.findall(r'"(.*)"', blocks[2])[0]
    told = command(home.data, "--config", str(tmp_path / "home.yaml"), "sql", "--csv", query)
    home.end()

    (row,) = told.stdout.splitlines()[1:]
    start, way, stops = row.split(",")
    assert start == "2026-09-21 16:13:21"
    assert 4400 < float(way) < 4600
    assert stops == "0"


def test_page_names_tests_that_exist() -> None:
    """Each promise of docs/home.md names a test, and each test it names is there."""
    page = DOC.read_text()
    tests = "\n".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page))

    assert {name for name in named if f"def {name}(" not in tests} == set()
    promised = page.split("## What is promised\n")[1].split("\n## ")[0]
    lines = [line for line in promised.splitlines() if line.startswith("- ")]
    assert len(lines) > 10
    assert [line for line in lines if "`test_" not in line] == []
