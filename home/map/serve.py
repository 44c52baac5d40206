"""The map on the air: the page, its document, the live lane, and the owner's streets."""

from __future__ import annotations

import gzip
import json
import logging
import queue
import re
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from home import days, engine
from home.errors import HomeError
from home.lines import Row, read
from home.map import page
from home.map.document import Drawer, document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from home.config import Config, Kafka
    from home.index import Position
    from home.server import Asked

LISTENERS_MAX = 16
WAITING_MAX = 200
ALIVE_S = 15.0
RANGE = re.compile(r"bytes=(\d{1,15})-(\d{1,15})")
RANGE_MAX = 32 << 20
AGAIN_S = 10.0

log = logging.getLogger(__name__)


class Live:
    """Hands new positions to whoever watches; who is too slow misses some."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._watchers: set[queue.Queue[str]] = set()
        self._guard = threading.Lock()
        self._newest: dict[str, int] = {}

    def tell(self, positions: Iterable[tuple[str, Position]]) -> None:
        """Tell of vehicles' newest positions; an older one than told before is none."""
        for device, at in positions:
            self.moved(device, time=at.time, lat=at.lat, lon=at.lon, speed=at.speed, track=at.track)

    def moved(
        self,
        device: str,
        *,
        time: int,
        lat: float,
        lon: float,
        speed: float | None,
        track: float | None,
    ) -> None:
        """Tell of one position."""
        with self._guard:
            if time <= self._newest.get(device, -1):
                return
            self._newest[device] = time
        values = {
            "device": device,
            "time": time,
            "lat": lat,
            "lon": lon,
            "speed": speed,
            "track": track,
        }
        self._send(f"data: {json.dumps(values, separators=(',', ':'))}\n\n")

    def built(self) -> None:
        """Tell that the document is another one now."""
        self._send("event: built\ndata: {}\n\n")

    def watch(self) -> queue.Queue[str] | None:
        """Give a queue of events; None if there are too many already."""
        with self._guard:
            if len(self._watchers) >= LISTENERS_MAX:
                return None
            watcher: queue.Queue[str] = queue.Queue(WAITING_MAX)
            self._watchers.add(watcher)
            return watcher

    def leave(self, watcher: queue.Queue[str]) -> None:
        """Forget one."""
        with self._guard:
            self._watchers.discard(watcher)

    def _send(self, event: str) -> None:
        with self._guard:
            for watcher in self._watchers:
                if not watcher.full():
                    watcher.put_nowait(event)


class MapServer:
    """Answers for one home."""

    def __init__(self, config: Config, live: Live, stopping: threading.Event) -> None:
        """Prepare; page and document are made when they are asked for."""
        self._config, self._live, self._stopping = config, live, stopping
        self._drawer = Drawer(path=config.folder / "map" / "drawn.jsonl")
        self._guard = threading.Lock()
        self._made: tuple[dict[str, str], bytes] | None = None

    def routes(self) -> dict[str, Callable[[Asked], None]]:
        """Give what answers by path."""
        return {
            "/": self._page,
            "/map.json": self._document,
            "/live": self._events,
            "/streets.pmtiles": self._streets,
        }

    def _page(self, asked: Asked) -> None:
        asked.answer(HTTPStatus.OK, page.served(), "text/html; charset=utf-8")

    def _document(self, asked: Asked) -> None:
        packed = self._packed()
        if "gzip" in asked.headers.get("Accept-Encoding", ""):
            asked.answer(HTTPStatus.OK, packed, "application/json", Content_Encoding="gzip")
        else:
            asked.answer(HTTPStatus.OK, gzip.decompress(packed), "application/json")

    def _packed(self) -> bytes:
        """Give the document, made anew if days were built since."""
        with self._guard:
            state = days.built_days(self._config.folder)
            if self._made is None or self._made[0] != state:
                made = made_of(self._config, self._drawer)
                text = json.dumps(made, separators=(",", ":"))
                self._made = (state, gzip.compress(text.encode(), 6))
            return self._made[1]

    def _events(self, asked: Asked) -> None:
        watcher = self._live.watch()
        if watcher is None:
            asked.answer(HTTPStatus.SERVICE_UNAVAILABLE, "too many watch already\n", close=True)
            return
        asked.close_connection = True
        try:
            asked.send_response(HTTPStatus.OK)
            for name, value in (
                ("Content-Type", "text/event-stream"),
                ("Cache-Control", "no-store"),
                ("Connection", "close"),
                ("X-Accel-Buffering", "no"),  # a proxy must not wait for more
            ):
                asked.send_header(name, value)
            asked.end_headers()
            asked.wfile.write(b": hello\n\n")
            quiet = time.monotonic()
            while not self._stopping.is_set():
                try:
                    asked.wfile.write(watcher.get(timeout=1.0).encode())
                except queue.Empty:
                    if time.monotonic() - quiet < ALIVE_S:
                        continue
                    asked.wfile.write(b": still here\n\n")
                quiet = time.monotonic()
        finally:
            self._live.leave(watcher)

    def _streets(self, asked: Asked) -> None:
        path = self._config.streets
        wanted = RANGE.fullmatch(asked.headers.get("Range", ""))
        if path is None or not path.is_file():
            asked.answer(HTTPStatus.NOT_FOUND, "home.yaml names no streets\n")
        elif wanted is None:
            asked.answer(HTTPStatus.BAD_REQUEST, "only ranges of it are given\n")
        else:
            _range(asked, path, int(wanted[1]), int(wanted[2]))


def made_of(config: Config, drawer: Drawer | None = None) -> dict[str, Any]:
    """Make the document of a home."""
    with engine.connect(config) as base:
        return document(
            base,
            made_ms=int(time.time() * 1000),
            time_zone=config.time_zone,
            streets=config.streets is not None and config.streets.is_file(),
            drawer=drawer,
        )


def _range(asked: Asked, path: Path, first: int, last: int) -> None:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        last = min(last, size - 1, first + RANGE_MAX - 1)
        if first > last:
            asked.answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "beyond its end\n")
            return
        file.seek(first)
        content = file.read(last - first + 1)
    asked.answer(
        HTTPStatus.PARTIAL_CONTENT, content, "application/octet-stream",
        Content_Range=f"bytes {first}-{last}/{size}",
    )  # fmt: skip


def from_topic(kafka: Kafka, live: Live, stopping: threading.Event) -> None:
    """Hand on what the vehicles' live topic says from now on; nothing of it is kept."""
    from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition  # noqa: PLC0415  only who needs it pays

    from telematics.sink_kafka import security_config  # noqa: PLC0415  as above

    consumer = Consumer(
        {
            "bootstrap.servers": kafka.servers,
            "group.id": "home-live",  # never joined: partitions are assigned, nothing is committed
            "enable.auto.commit": False,
            "log_level": 2,
            **security_config(kafka.security, kafka.secrets, user=kafka.user),
        }
    )
    try:
        while not stopping.is_set():
            try:
                known = consumer.list_topics(kafka.live_topic, timeout=AGAIN_S)
                partitions = known.topics[kafka.live_topic].partitions
                consumer.assign(
                    [TopicPartition(kafka.live_topic, p, OFFSET_END) for p in partitions]
                )
                break
            except (KafkaException, KeyError) as error:
                log.warning("live: %s", error)
                stopping.wait(AGAIN_S)
        while not stopping.is_set():
            message = consumer.poll(1.0)
            if message is None or message.error() is not None:
                continue
            row = read(message.value() or b"")
            if isinstance(row, Row) and row.time is not None and row.time_ok:
                live.moved(
                    row.device, time=row.time, lat=row.lat, lon=row.lon,
                    speed=row.speed, track=row.track,
                )  # fmt: skip
    finally:
        consumer.close()


def write_file(config: Config, path: Path) -> int:
    """Write the map as one file, and give its size; HomeError if there is nothing to draw."""
    from home.map.document import write  # noqa: PLC0415

    made = made_of(config, Drawer(path=config.folder / "map" / "drawn.jsonl"))
    if not made["trips"]:
        hint = "`home build` makes days of what has arrived"
        raise HomeError(f"{config.folder}: no trips to draw; hint: {hint}")
    write(path, page.file(made))
    return path.stat().st_size
