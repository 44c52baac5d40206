"""The map in a real browser: from a file without a network, and live when it is served."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from home import days, server
from home.config import Address, Config
from home.landing import Landing, content_name, entry_of
from home.lines import landed
from home.map import page, parts
from home.map.document import Drawer
from home.map.line import unpack
from home.map.serve import made_of, write_file
from home.simulate.mishaps import Plan, Rates, everything
from home.simulate.send import HttpLane
from tests.home.browser import DESK, PHONE, Browser, browser
from tests.home.tiles import write as write_tiles
from tests.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from home.simulate.mishaps import Message

PLAN = Plan(
    events=36_000, vehicles=2, seed=9, begin=datetime(2026, 5, 4, tzinfo=UTC),
    rates=Rates(damaged_for_good=0.0005),
)  # fmt: skip
KEY = "a-key-of-enough-letters-for-a-test"
WORLD_COLOURS = {False: (248, 246, 241), True: (22, 31, 41)}


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Run the browser, and see that npm can bring what the page is made of."""
    import shutil  # noqa: PLC0415

    if shutil.which("npm") is None and not page.BUILT.is_file():
        missing("npm; ./invoke setup --tests brings it")
    with browser(tmp_path_factory.mktemp("chromium") / "profile") as running:
        yield running


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    """Make some days of two vehicles, with all that befalls them."""
    made, _ = everything(PLAN)
    return made


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, messages: list[Message]) -> Config:
    """Give a home with these days built."""
    folder = tmp_path_factory.mktemp("home")
    _land(folder, [message.raw for message in messages])
    days.build(folder)
    return Config(folder=folder, time_zone="Europe/Berlin", file=folder / "home.yaml")


def _land(folder: Path, raws: list[bytes]) -> None:
    landing = Landing(folder / "landing").open()
    for at in range(0, len(raws), 2_000):
        lines = [landed(raw, now=1)[0] for raw in raws[at : at + 2_000]]
        name = content_name("all", "all", at, at + len(lines), b"".join(lines))
        landing.put(f"http/{name}", lines, entry_of(lines))
    landing.close()


@pytest.fixture(scope="module")
def document(config: Config) -> dict[str, Any]:
    """Give the document of that home."""
    return made_of(config)


@pytest.fixture(scope="module")
def file(config: Config) -> Path:
    """Give the map as one file."""
    path = config.folder / "map.html"
    write_file(config, path)
    return path


def _day(document: dict[str, Any]) -> list[dict[str, Any]]:
    newest = max(trip["day"] for trip in document["trips"])
    return [trip for trip in document["trips"] if trip["day"] == newest]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_the_file_draws_itself_without_a_network(
    chrome: Browser, file: Path, document: dict[str, Any], tmp_path: Path,
    size: tuple[int, int, int], *, dark: bool,
) -> None:  # fmt: skip
    """From file:// all is drawn, light and dark, on a desk and a phone; nothing is asked for."""
    chrome.look(size=size, dark=dark)

    chrome.open(f"file://{file}")
    picture = chrome.picture(tmp_path / "map.png")

    trips = _day(document)
    drawn = chrome.ask("({...document.body.dataset})")
    assert drawn["ready"] == "yes"
    assert int(drawn["trips"]) == len(trips)
    assert int(drawn["parts"]) == sum(len(trip["parts"]) for trip in trips)
    assert chrome.requests == [f"file://{file}"]
    assert chrome.errors == []
    assert chrome.ask("document.querySelectorAll('#trips button').length") == len(trips)
    assert chrome.ask("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    # Nothing sticks out: a phone's page is as wide as the phone.
    assert chrome.ask("document.documentElement.scrollWidth <= innerWidth")
    assert len(picture) > 10_000
    colours = chrome.ask(_COLOURS)
    assert colours["world"] == list(WORLD_COLOURS[dark])
    assert colours["routes"] > 3, "a route has the colours of its speeds"


_COLOURS = """(() => {
  const pixels = (pane) => {
    const canvas = document.querySelector(`.leaflet-${pane}-pane canvas`);
    return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  };
  const world = pixels('world'), counts = new Map();
  for (let at = 0; at < world.length; at += 4) {
    const key = `${world[at]},${world[at + 1]},${world[at + 2]}`;
    if (world[at + 3] === 255) counts.set(key, (counts.get(key) || 0) + 1);
  }
  const most = [...counts].sort((one, other) => other[1] - one[1])[0][0];
  const routes = pixels('overlay'), seen = new Set();
  for (let at = 0; at < routes.length; at += 4)
    if (routes[at + 3] === 255) seen.add(`${routes[at]},${routes[at + 1]},${routes[at + 2]}`);
  return { world: most.split(',').map(Number), routes: seen.size };
})()"""


def test_days_trips_and_vehicles_are_chosen(
    chrome: Browser, file: Path, document: dict[str, Any]
) -> None:
    """A day before, a date, all days, one trip and one vehicle less: each draws what it says."""
    chrome.look()
    chrome.open(f"file://{file}")
    all_days = sorted({trip["day"] for trip in document["trips"]})

    def drawn() -> int:
        return int(chrome.ask("document.body.dataset.trips"))

    def of(day: str) -> int:
        return sum(trip["day"] == day for trip in document["trips"])

    chrome.ask("document.getElementById('before').click()")
    assert chrome.ask("document.getElementById('day').value") == all_days[-2]
    assert drawn() == of(all_days[-2])
    chrome.ask(
        f"(() => {{ const day = document.getElementById('day'); day.value = '{all_days[0]}';"
        " day.dispatchEvent(new Event('change')); })()"
    )
    assert drawn() == of(all_days[0])
    assert chrome.ask("document.getElementById('before').disabled")
    chrome.ask("document.querySelector('#trips button').click()")
    assert drawn() == 1
    chrome.ask("document.getElementById('all').click()")
    assert drawn() == len(document["trips"])
    chrome.ask("document.querySelector('#vehicles button').click()")
    assert drawn() == sum(trip["v"] != 0 for trip in document["trips"])
    chrome.ask("document.getElementById('theme').click()")
    assert chrome.ask("document.documentElement.dataset.theme") == "dark"
    chrome.ask("localStorage.clear()")
    assert chrome.errors == []


def test_a_tunnel_is_drawn_as_a_gap() -> None:
    """Where no position is known for long there is no line, but two parts with a gap between."""
    from home.map.line import Fix, drawn  # noqa: PLC0415

    fixes = [Fix(52 + second * 1e-4, 13.0, 11.0, second * 1000) for second in range(300)]
    with_hole = [fix for fix in fixes if not 100_000 <= (fix.time or 0) < 190_000]

    assert len(drawn(fixes, begin=0).parts) == 1
    before, after = (unpack(part) for part in drawn(with_hole, begin=0).packed(4))
    assert (before[-1][3], after[0][3]) == (99, 190)


def test_order_of_arrival_changes_nothing_on_the_map(
    config: Config, document: dict[str, Any], messages: list[Message], tmp_path: Path
) -> None:
    """Records in the opposite order of arrival, in other segments, give the same document."""
    _land(tmp_path, [message.raw for message in reversed(messages)])
    days.build(tmp_path)

    again = made_of(replace(config, folder=tmp_path))

    assert {**again, "made": 0} == {**document, "made": 0}


def test_what_is_drawn_already_is_not_drawn_again(
    config: Config, document: dict[str, Any], tmp_path: Path
) -> None:
    """A restart reads the lines it had; a damaged line of them is drawn again; all are the same."""
    made_of(config, Drawer(path=tmp_path / "drawn.jsonl"))
    text = (tmp_path / "drawn.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "drawn.jsonl").write_bytes(b"".join([b"{garbage\n", *text[1:]]))

    drawer = Drawer(path=tmp_path / "drawn.jsonl")
    again = made_of(config, drawer)

    assert {**again, "made": 0} == {**document, "made": 0}
    assert (tmp_path / "drawn.jsonl").read_bytes().splitlines(keepends=True) == text


def test_lines_stay_near_where_the_vehicle_was(config: Config, document: dict[str, Any]) -> None:
    """No position is farther from its drawn line than the tolerance and a receiver's noise."""
    from home import engine  # noqa: PLC0415

    trip = max(document["trips"], key=lambda trip: trip["m"])
    lines = [unpack(part) for part in trip["parts"]]
    with engine.connect(config) as base:
        rows = base.execute(
            "SELECT points.lat, points.lon FROM points JOIN trips USING (device, installation)"
            " WHERE trip_id = ? AND points.time_ms BETWEEN start_ms AND end_ms USING SAMPLE 300",
            [trip["id"]],
        ).fetchall()
    for lat, lon in rows:
        assert min(_far(lat, lon, line) for line in lines) < 12


def _far(lat: float, lon: float, line: list[tuple[float, float, int, int]]) -> float:
    """Give the metres between a place and a line."""
    import math  # noqa: PLC0415

    east = 111_320 * math.cos(math.radians(lat))
    best = math.inf
    spots = [((y - lat) * 111_320, (x - lon) * east) for y, x, _, _ in line]
    for (ay, ax), (by, bx) in pairwise(spots):
        length = (by - ay) ** 2 + (bx - ax) ** 2
        share = max(0.0, min(1.0, -(ay * (by - ay) + ax * (bx - ax)) / length)) if length else 0.0
        best = min(best, math.hypot(ay + share * (by - ay), ax + share * (bx - ax)))
    return best


def test_streets_of_the_owner_are_drawn(chrome: Browser, file: Path, tmp_path: Path) -> None:
    """A .pmtiles file given to the page is drawn beneath the routes, without a request."""
    write_tiles(tmp_path / "streets.pmtiles")
    chrome.look()
    chrome.open(f"file://{file}")

    chrome.give_file("#file", tmp_path / "streets.pmtiles")

    chrome.until("document.body.dataset.streets === 'drawn'")
    assert chrome.ask("document.querySelectorAll('.leaflet-tile-pane canvas').length") > 0
    assert chrome.requests == [f"file://{file}"]
    assert chrome.errors == []


def test_names_from_outside_are_text(
    chrome: Browser, document: dict[str, Any], tmp_path: Path
) -> None:
    """A vehicle's name is never read as HTML, whoever gave it."""
    name = "<img src=x onerror=document.title=1>"
    other = {**document, "vehicles": [{**each, "name": name} for each in document["vehicles"]]}
    path = tmp_path / "map.html"
    path.write_text(page.file(other))
    chrome.look()

    chrome.open(f"file://{path}")

    assert chrome.ask("document.querySelectorAll('img[src=x]').length") == 0
    assert chrome.ask("document.title") == "Home"
    assert name in chrome.ask("document.querySelector('#vehicles').textContent")


def test_a_home_without_trips_says_so(chrome: Browser, tmp_path: Path) -> None:
    """The page of an empty home tells what will appear, and fails at nothing."""
    path = tmp_path / "map.html"
    path.write_text(page.file(made_of(Config(folder=tmp_path / "none"))))
    chrome.look()

    chrome.open(f"file://{path}")

    assert "No trips yet" in chrome.ask("document.getElementById('trips').textContent")
    assert chrome.errors == []


def test_served_it_is_live(
    chrome: Browser, config: Config, messages: list[Message], tmp_path: Path
) -> None:
    """A record that arrives moves the vehicle on the open page; a day that is built is drawn."""
    (tmp_path / "key").write_text(KEY)
    write_tiles(tmp_path / "streets.pmtiles")
    home = replace(
        config, folder=tmp_path / "home", listen=Address(port=0), file=tmp_path / "home.yaml",
        vehicles={"truck-1": tmp_path / "key"}, streets=tmp_path / "streets.pmtiles",
    )  # fmt: skip
    stopping, ready, address = threading.Event(), threading.Event(), []

    def told(url: str) -> None:
        address.append(url)
        ready.set()

    serving = threading.Thread(target=server.serve, args=(home, stopping), kwargs={"ready": told})
    serving.start()
    try:
        assert ready.wait(60)
        mine = [message for message in messages if message.device == "truck-1"][:900]
        lane = HttpLane(f"{address[0]}records", {"*": KEY})
        chrome.look()
        chrome.open(address[0])
        assert "No trips yet" in chrome.ask("document.getElementById('trips').textContent")
        lane.send(mine)
        lane.close()
        live = chrome.until("document.body.dataset.live")
        chrome.until("document.querySelectorAll('#trips button').length > 0")
        chrome.until("document.body.dataset.streets === 'drawn'")
        assert live.startswith("truck-1 5")
        assert {url.removeprefix(address[0]) for url in chrome.requests} == {
            "", "map.json", "live", "streets.pmtiles",
        }  # fmt: skip
        assert chrome.errors == []
    finally:
        stopping.set()
        serving.join(60)


def test_the_page_leaves_room_for_a_year(chrome: Browser) -> None:
    """Without a document it is below 0.7 MB; what a year adds is told by test_a_year_fits."""
    assert chrome is not None  # with it there is npm
    assert len(page.served().encode()) < 700_000


def test_what_npm_brings_is_pinned() -> None:
    """Each package has its hash in the lock, and no address of any registry stands there."""
    import json  # noqa: PLC0415

    lock = json.loads((parts.HERE / "package-lock.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}

    assert all(each["integrity"].startswith("sha512-") for each in packages.values())
    assert not any("resolved" in each for each in packages.values())
    wanted = {
        name: packages[f"node_modules/{name}"]["version"] for name in ("leaflet", "world-atlas")
    }
    assert wanted == {"leaflet": "1.9.4", "world-atlas": "2.0.2"}
