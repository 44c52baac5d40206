"""The page's way from an empty machine to the first trip, as it is written there."""

from __future__ import annotations

import http.client
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.home import made
from tests.home.parts import CHECKOUT, KEY, HomeProcess, command, until
from tests.home.test_http import BODY, CONFIG, post

if TYPE_CHECKING:
    from pathlib import Path

DOC = CHECKOUT / "docs/home.md"


def test_first_trip_as_the_page_says(tmp_path: Path) -> None:
    """The commands and the home.yaml of docs/home.md, one after the other, end with a trip."""
    page = DOC.read_text()
    blocks = re.findall(r"```\n(\./invoke home.*?)\n```", page, re.DOTALL)
    words = [block.split()[2:4] for block in blocks[:3]]
    assert words == [["--", "key"], [], ["--", "sql"]]
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


def test_unit_starts_a_home(tmp_path: Path) -> None:
    """The command of the unit, in its folder and with its environment alone, serves."""
    place = tmp_path / "the home"
    place.mkdir()
    (place / "home.yaml").write_text("folder: data\nlisten: 127.0.0.1:0\n")
    made_unit = command(place / "x", "--config", str(place / "home.yaml"), "unit")
    assert made_unit.returncode == 0, made_unit.stderr
    unit = dict(line.split("=", 1) for line in made_unit.stdout.splitlines() if "=" in line)
    name, _, path = unit["Environment"].strip('"').partition("=")

    child = subprocess.Popen(
        shlex.split(unit["ExecStart"]), cwd=unit["WorkingDirectory"], env={name: path},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline().startswith("ready: ")
    child.terminate()
    assert child.wait(60) == 0
    assert (place / "data/landing").is_dir()


@pytest.mark.needs("npm")
def test_wheel_is_a_home_without_the_builder(tmp_path: Path) -> None:
    """Installed from its wheel, no checkout in reach, it takes records and shows its page."""
    out = tmp_path / "out"
    made_wheel = command(tmp_path / "x", "wheel", str(out))
    assert made_wheel.returncode == 0, made_wheel.stderr
    (wheel,) = out.glob("glovebox_home-*.whl")
    assert wheel.name in DOC.read_text()
    place = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--target", str(place), str(wheel)], check=True)
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "home.yaml").write_text(CONFIG)

    child = subprocess.Popen(
        [place / "bin/home", "serve"], cwd=tmp_path, env={"PYTHONPATH": str(place)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    host, port = child.stdout.readline().split("/")[2].split(":")
    link = http.client.HTTPConnection(host, int(port), timeout=60)
    link.request("POST", "/", body=BODY, headers={"X-API-Key": KEY})
    assert link.getresponse().read() == b"500 records, 0 dead letters\n"
    until(lambda: list(tmp_path.glob("home-data/days/*/built")), what="the day to be built")
    link.request("GET", "/")
    page = link.getresponse()
    assert (page.status, len(page.read()) > 500_000) == (200, True)
    child.terminate()
    assert child.wait(60) == 0


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
