"""The one process: it receives, builds days as they change, and shows how it goes.

Each part is a thread that goes on whatever befalls the others; days are built by a child, so that
what a build takes of memory and processor is not the receiver's.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import multiprocessing
import shutil
import threading
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from home import days, files, from_kafka, index, keep, surface
from home.errors import ConfigError, HomeError
from home.from_http import BODY_MAX, Receiver, vehicles_of
from home.from_kafka import KafkaStatus
from home.landing import Landing
from home.web import Handler, Server, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from home.config import Config

# After new lines the days wait for more so long, and for as many times as the last build took: a
# small board has other things to do.
BUILD_AFTER_S = 1.0
BUILD_PAUSES = 4
BUILD_RETRY_S = 60.0
TIDY_S = 3600.0
MERGE_AFTER = 64
LOCAL = ("localhost", "127.0.0.1", "::1")
REALM = 'Basic realm="home", charset="UTF-8"'

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Building:
    """How the last build ended."""

    at: float = 0.0
    seconds: float = 0.0
    error: str = ""
    builds: int = 0


@dataclass
class Home:
    """What the parts share; another part adds a route and a thread in `serve`."""

    config: Config
    landing: Landing
    receiver: Receiver
    kafka: KafkaStatus = field(default_factory=KafkaStatus)
    building: Building = field(default_factory=Building)
    stopping: threading.Event = field(default_factory=threading.Event)
    # Set when lines came, for whoever waits for them.
    changed: threading.Event = field(default_factory=threading.Event)
    started: float = field(default_factory=time.time)
    password: bytes = b""
    # By path, without query: what answers a GET there.
    routes: dict[str, Callable[[Asked], None]] = field(default_factory=dict)
    # Called after each build that succeeded.
    built: list[Callable[[], None]] = field(default_factory=list)
    # What other parts add to the status, by name.
    more: dict[str, Callable[[], object]] = field(default_factory=dict)

    def status(self) -> dict[str, object]:
        """Say how it goes, for page, API and command line."""
        total = self.landing.total
        return {
            "started": int(self.started * 1000),
            "now": int(time.time() * 1000),
            "lines": total.lines,
            "bytes": total.size,
            "dead": total.dead,
            "segments": len(self.landing.segments),
            "http_records": self.receiver.records,
            "kafka": asdict(self.kafka) if self.config.kafka else None,
            "days": len(days.built_days(self.config.folder)),
            "days_pending": len(days.pending(self.config.folder, total)),
            "build": asdict(self.building),
            "disk_free": shutil.disk_usage(self.config.folder).free,
            "vehicles": {name: asdict(each) for name, each in sorted(total.newest.items())},
            **{name: each() for name, each in self.more.items()},
        }


class Asked(Handler):
    """One caller of a home."""

    home: Home

    def __init__(self, home: Home, *rest: object) -> None:
        """Serve this home."""
        self.home = home
        super().__init__(*rest)  # type: ignore[arg-type]  # what the server gives every handler

    def do_POST(self) -> None:  # noqa: N802  the name is http.server's
        """Take records from a vehicle."""
        receiver = self.home.receiver
        vehicle = receiver.vehicle(self.headers.get("X-API-Key"))
        if vehicle is None:
            self.answer(HTTPStatus.FORBIDDEN, "no vehicle of this home has that key", close=True)
            return
        if not receiver.begin(vehicle):
            self.answer(HTTPStatus.TOO_MANY_REQUESTS, "slower", close=True, Retry_After="1")
            return
        try:
            self.serving()
            body = self.body(BODY_MAX)
            if body is None:
                return
            try:
                said = receiver.take(vehicle, body)
            except OSError as error:
                log.warning("http: %s", error)
                self.answer(
                    HTTPStatus.INSUFFICIENT_STORAGE, "not now", close=True, Retry_After="30"
                )
            else:
                self.answer(said.status, said.text + "\n")
        finally:
            receiver.end(vehicle)

    def do_GET(self) -> None:  # noqa: N802  likewise
        """Show something to the owner."""
        if not self._allowed():
            return
        self.serving()
        path = urlsplit(self.path).path
        answer = self.home.routes.get(path)
        if answer is None:
            self.answer(HTTPStatus.NOT_FOUND, "nothing is here\n")
            return
        try:
            answer(self)
        except HomeError as error:
            self.answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n")

    do_HEAD = do_GET  # noqa: N815  the name is http.server's

    def _allowed(self) -> bool:
        given = self.headers.get("Authorization", "")
        if self.home.password:
            word, _, packed = given.partition(" ")
            try:
                _, _, password = base64.b64decode(packed, validate=True).partition(b":")
            except ValueError:
                password = b""
            if word.lower() == "basic" and hmac.compare_digest(password, self.home.password):
                return True
            said = "the password of home.yaml's password_file; any user\n"
            self.answer(HTTPStatus.UNAUTHORIZED, said, close=True, WWW_Authenticate=REALM)
            return False
        # A page of the internet can make a browser call a name that leads here: only these names
        # are this machine.
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if host not in LOCAL:
            self.answer(HTTPStatus.FORBIDDEN, "call it by localhost\n", close=True)
            return False
        return True


def serve(config: Config, stopping: threading.Event, *, ready: Callable[[str], None]) -> None:
    """Run a home until told to stop; HomeError says what keeps it from it."""
    files.make_folder(config.folder)
    with files.locked(config.folder / "lock", "receiving"):
        landing = Landing(config.folder / "landing").open()
        home = Home(
            config, landing, Receiver(landing, vehicles_of(config.vehicles)), stopping=stopping
        )
        home.password = _password(config.password_file)
        landing.listeners.append(lambda _name, _entry: home.changed.set())
        home.routes |= {"/status": _status_page, "/api/status": _status_json}
        work: list[Callable[[], None]] = [partial(_build, home), partial(_tidy, home)]
        work += surface.parts(home)
        server = _listen(home)
        if config.kafka is not None:
            work.append(partial(from_kafka.receive, config.kafka, landing, home.kafka, stopping))
        threads = [threading.Thread(target=_go_on, args=(each, stopping)) for each in work]
        for thread in (*threads, threading.Thread(target=server.serve_forever, daemon=True)):
            thread.start()
        try:
            host, port = server.server_address[:2]
            scheme = "http" if config.tls is None else "https"
            ready(f"{scheme}://{host!s}:{port}/")
            stopping.wait()
        finally:
            stopping.set()
            home.changed.set()
            server.shutdown()
            server.connections.end()
            server.server_close()
            for thread in threads:
                thread.join()
            landing.close()


def _listen(home: Home) -> Server:
    config = home.config
    address = (config.listen.host, config.listen.port)
    try:
        tls = tls_context(*config.tls) if config.tls is not None else None
        return Server(address, partial(Asked, home), tls=tls)
    except OSError as error:
        hint = "another port: `listen: 127.0.0.1:8022`; or mend tls:"
        raise HomeError(f"{address[0]}:{address[1]}: {error}; hint: {hint}") from None


def _password(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        password = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; hint: one line with the password") from None
    if not password:
        raise ConfigError(f"{path}: empty; hint: one line with the password")
    return password


def _go_on(work: Callable[[], None], stopping: threading.Event) -> None:
    """Do a part's work, and again after a fault that nobody foresaw; no other part ends."""
    while not stopping.is_set():
        try:
            work()
        except Exception:
            log.exception("a part of the home failed; it goes on in a minute")
            stopping.wait(60)


def _build(home: Home) -> None:
    """Build days when lines came."""
    home.changed.set()
    while not home.stopping.is_set():
        home.changed.wait()
        if home.stopping.wait(BUILD_AFTER_S):
            return
        home.changed.clear()
        if not days.pending(home.config.folder, home.landing.total):
            continue
        began = time.monotonic()
        child = multiprocessing.get_context("spawn").Process(
            target=days.build, args=(home.config.folder,), daemon=True
        )
        child.start()
        while child.is_alive():
            child.join(0.5)
            if home.stopping.is_set():
                child.terminate()  # what it leaves is built again
                child.join()
                return
        home.building.seconds = time.monotonic() - began
        home.building.at = time.time()
        home.building.builds += 1
        failed = child.exitcode != 0
        home.building.error = f"the build ended with {child.exitcode}" if failed else ""
        for listener in () if failed else home.built:
            listener()
        home.stopping.wait(BUILD_RETRY_S if failed else BUILD_PAUSES * home.building.seconds)
        if failed:
            home.changed.set()


def _tidy(home: Home) -> None:
    """Merge small segments, and remove what is older than it has to be."""
    tidied = 0.0
    while not home.stopping.wait(BUILD_AFTER_S):
        small = sum(entry.size < MERGE_AFTER << 10 for entry in home.landing.segments.values())
        if time.monotonic() - tidied < TIDY_S and small < 2 * MERGE_AFTER:
            continue
        tidied = time.monotonic()
        try:
            home.landing.merge()
            if home.config.keep_days:
                keep.prune(home.config.folder, home.landing, home.config.keep_days)
        except OSError as error:
            log.warning("tidying: %s", error)
            home.stopping.wait(BUILD_RETRY_S)


def _status_json(asked: Asked) -> None:
    asked.answer(HTTPStatus.OK, json.dumps(asked.home.status()) + "\n", "application/json")


def _status_page(asked: Asked) -> None:
    asked.answer(HTTPStatus.OK, described(asked.home.status()) + "\n")


def described(status: Mapping[str, object]) -> str:
    """Say a status in words."""
    lines = [
        f"{status['lines']} lines in {status['segments']} segments, {status['bytes']} bytes",
        f"{status['dead']} dead letters",
        f"{status['days']} days, {status['days_pending']} of them to be built",
    ]
    build = status["build"]
    if isinstance(build, dict) and build["error"]:
        lines.append(f"trouble: {build['error']}")
    kafka = status["kafka"]
    if isinstance(kafka, dict):
        lines.append(f"kafka: {kafka['error'] or 'reading'}, {kafka['records']} records")
        if kafka["passed"]:
            lines.append(f"kafka: {kafka['passed']} messages were gone before they were read")
    mariadb = status.get("mariadb")
    if isinstance(mariadb, dict):
        lines.append(f"mariadb: {mariadb['error'] or 'up to date'}, {mariadb['positions']} rows")
    vehicles = status["vehicles"]
    for name, each in vehicles.items() if isinstance(vehicles, dict) else ():
        day = index.day_name(each["time"] // index.DAY_MS)
        clock = time.strftime("%H:%M:%S", time.gmtime(each["time"] / 1000))
        lines.append(f"{name}: last at {day} {clock} UTC, {each['lat']}, {each['lon']}")
    return "\n".join(lines)
