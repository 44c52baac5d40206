"""docs/recipes.md: the four uses, each command as it stands there, with servers of this machine."""

from __future__ import annotations

import re
import shlex
import socketserver
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.home.api_server import TOKEN, Api, running
from tests.home.parts import HomeProcess, environment, until

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
DOC = CHECKOUT / "docs" / "recipes.md"
PATIENCE_S = 600
ROWS, FEWER = 345_125, 20_125  # two of them are damaged


@dataclass
class Recipe:
    """A chapter of the page: its home.yaml and its commands, in a folder of its own."""

    folder: Path
    yaml: str
    commands: list[str]
    said: dict[str, str]

    def run(self, number: int) -> str:
        """Run a command as the page has it; `./invoke home --` is `python -m home` here."""
        command = self.commands[number]
        assert command.startswith("./invoke home -- "), command
        words = shlex.split(command)[3:]
        done = subprocess.run(
            [sys.executable, "-m", "home", *words],
            capture_output=True, text=True, check=False, cwd=self.folder, env=environment(),
            timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, (command, done)
        return done.stdout

    def write(self, *changed: tuple[str, str]) -> None:
        """Write home.yaml, with addresses of this machine in place of the page's."""
        text = self.yaml
        for old, new in changed:
            assert old in text, old
            text = text.replace(old, new)
        (self.folder / "home.yaml").write_text(text)


def _recipe(title: str, folder: Path) -> Recipe:
    chapter = re.search(
        rf"^## {title}\n(.*?)(?=^## |\Z)", DOC.read_text(), re.MULTILINE | re.DOTALL
    )
    assert chapter is not None, title
    (yaml,) = re.findall(r"```yaml\n(.*?)```", chapter[1], re.DOTALL)
    commands: list[str] = []
    said: dict[str, str] = {}
    for block in re.findall(r"```console\n(.*?)```", chapter[1], re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append(line[2:])
            else:
                said[str(len(commands) - 1)] = line
    return Recipe(folder, yaml, commands, said)


class _Mails(socketserver.StreamRequestHandler):
    """As much of SMTP as a letter needs."""

    subjects: list[str]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().strip().upper():
            if line == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while (part := self.rfile.readline()) != b".\r\n":
                    if part.startswith(b"Subject: "):
                        self.subjects.append(part[9:].decode().strip())
            self.wfile.write(b"250 good\r\n" if line != b"QUIT" else b"221 bye\r\n")
            if line == b"QUIT":
                return


@pytest.fixture
def mails() -> Iterator[tuple[int, list[str]]]:
    """Take mail on the loopback; gives the port and the subjects."""
    handler = type("Handler", (_Mails,), {"subjects": []})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1], handler.subjects
        server.shutdown()
        thread.join()


def test_recipe_of_a_polled_feed(tmp_path: Path) -> None:
    """A vehicle API becomes rows of SQL and a drawn route, as the page says."""
    recipe = _recipe("Poll an API into SQL and onto the map", tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "fleet").write_text(TOKEN + "\n")
    with running(Api()) as api:
        recipe.write(("https://api.example.org", api.url))
        assert recipe.run(0).strip() == recipe.said["0"]
        for api.minute in range(1, 12):
            recipe.run(0)
    recipe.run(2)
    table = recipe.run(3)
    recipe.run(4)

    moving = next(line for line in table.splitlines() if "model-3" in line)
    assert re.search(r"\b12\b.*\b50", moving), table
    assert len((tmp_path / "drives.html").read_bytes()) < 2_000_000


def test_the_home_asks_on_its_schedule(tmp_path: Path) -> None:
    """While it runs it polls by itself, and its status says how each source does."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    with running(Api()) as api:
        process = HomeProcess(
            tmp_path,
            f"listen: 127.0.0.1:0\nsources:\n  - name: fleet\n    url: {api.url}/vehicles\n"
            "    every_s: 1\n    rows: response\n"
            "    token: {file: token, prefix: 'Bearer '}\n    units: {time: s}\n"
            "    point: {device: display_name, time: drive_state.timestamp,"
            " lat: drive_state.latitude, lon: drive_state.longitude}\n",
        )
        process.start()
        try:
            until(lambda: len(api.calls) >= 3, what="three polls")
            polled = process.data / "landing" / "polled" / "fleet"
            until(lambda: list(polled.glob("*.lines")), what="positions in the landing")
        finally:
            process.end()
        assert len(list(polled.glob("*.lines"))) == 1, "the same positions are landed once"


@pytest.mark.parametrize("rows", [FEWER, pytest.param(ROWS, marks=pytest.mark.long)])
def test_recipe_of_a_data_set(tmp_path: Path, mails: tuple[int, list[str]], rows: int) -> None:
    """All pages land once, however often they are asked for; faults are letters and mails.

    `invoke test --long` asks for the 346 pages of the document, every run for 21.
    """
    recipe = _recipe("Take in a data set, with dead letters, mail and safe re-runs", tmp_path)
    port, subjects = mails
    api = Api(data_set=rows, broken={77: "no row", 5_000: {"department": "x"}})
    with running(api):
        recipe.write(
            ("https://data.example.org", api.url),
            ('"smtp.example.org:587"', f'"127.0.0.1:{port}", security: none'),
            ("every_s: 86400", "every_s: 3"),
        )
        for command in (0, 1):
            said = recipe.said[str(command)].replace(f"{ROWS - 2}", f"{rows - 2}")
            said = said.replace(f"{ROWS // 1000 + 1} pages", f"{rows // 1000 + 1} pages")
            assert recipe.run(command).strip() == said
        assert "2 dead letters" in recipe.run(2)
        assert recipe.run(3).count("Airport") == 1
        api.data_set = 3_000
        (tmp_path / "home.yaml").write_text(
            "listen: 127.0.0.1:0\n" + (tmp_path / "home.yaml").read_text()
        )
        process = HomeProcess(tmp_path, "")
        text = (tmp_path / "home.yaml").read_text().replace("folder: home-data\n", "")
        process.config = text
        (tmp_path / "home-data").rename(tmp_path / "data")
        process.start()
        try:
            until(
                lambda: len(api.calls) > 2 * (rows // 1000 + 1) + 3,
                what="a poll of the running home",
            )
            api.faults += [(403, {})] * 50
            until(lambda: len(subjects) >= 1, what="a mail")
            api.faults.clear()
            until(lambda: len(subjects) >= 2, what="another mail")
        finally:
            process.end()
    assert subjects[0].startswith("emissions cannot be asked: 403")
    assert subjects[1] == "emissions answers again"


def test_recipe_of_a_daily_batch(tmp_path: Path) -> None:
    """A day's metrics are a file, made again byte for byte; a range of days is built."""
    recipe = _recipe("A daily batch with backfill", tmp_path)
    recipe.write()
    golden = CHECKOUT / "tests" / "unit" / "home" / "data" / "detector-37.csv"
    (tmp_path / "detectors.csv").write_bytes(golden.read_bytes())

    recipe.run(0)
    first = {path.name: path.read_bytes() for path in (tmp_path / "metrics").iterdir()}
    recipe.run(0)
    again = {path.name: path.read_bytes() for path in (tmp_path / "metrics").iterdir()}
    recipe.run(1)
    recipe.run(2)

    assert first == again
    assert len(first) == 1
    assert (tmp_path / "july.parquet").is_file()


def test_recipe_of_a_push(tmp_path: Path) -> None:
    """With a key of its own a producer posts, and all that it made is there."""
    recipe = _recipe("Push with an API key", tmp_path)
    recipe.run(0)
    process = HomeProcess(
        tmp_path, recipe.yaml.replace("folder: home-data\n", "listen: 127.0.0.1:0\n")
    )
    process.start()
    try:
        host, port = process.address
        recipe.commands[2] = (
            recipe.commands[2]
            .replace("127.0.0.1:8021", f"{host}:{port}")
            .replace("--compare home-data", "--compare data")
        )
        said = recipe.run(2)
    finally:
        process.end()

    assert "what arrived is what was made" in said
