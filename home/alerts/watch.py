"""Asks the home for the facts, keeps what has changed, and hands messages to their sinks."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from home.alerts.outbox import Outbox
from home.alerts.rules import Change, Facts, Fix, Jam, State, changes
from home.alerts.sinks import RefusedError, SinkError, deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from home.alerts.settings import Alerts, Mail, Post

LOOK_S = 60.0
PAUSE_S, PAUSE_MAX_S = 5.0, 600.0
MINUTE_MS = 60_000
NEWEST = """
SELECT device, MAX(time_ms) FROM points WHERE time_ms IS NOT NULL GROUP BY device ORDER BY device
"""
MISSING = """
SELECT device, CAST(SUM(numbers) AS BIGINT) FROM gaps
WHERE kind IN ('lost', 'unexplained') GROUP BY device
"""
DEAD = "SELECT COUNT(*) FROM dead"
FIXES = """
SELECT time_ms, lat, lon FROM points WHERE device = ? AND time_ms > ? ORDER BY time_ms
"""
JAMS = """
SELECT minute_ms, jam = 1 FROM windows
WHERE device = ? AND minute_ms >= ? AND minute_ms < ? ORDER BY minute_ms
"""

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Watch:
    """The alerts of one home; ``connect`` gives a DuckDB with its views."""

    alerts: Alerts
    folder: Path
    name: str
    connect: Callable[[], AbstractContextManager[Any]]
    # By source: why it cannot be asked, nothing if it can.
    sources: Callable[[], Mapping[str, str]] = dict
    clock: Callable[[], float] = time.time
    _heard: dict[str, int] = field(default_factory=dict)
    _wake: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Open what is still to be told."""
        self.outbox = Outbox(self.folder / "alerts" / "outbox.sqlite")

    def arrived(self, devices: Iterable[str]) -> None:
        """Note that records of these vehicles came just now, whatever their own time is."""
        self._heard |= dict.fromkeys(devices, self._now())

    def built(self) -> None:
        """Look soon: days have changed."""
        self._wake.set()

    def run(self, stopping: threading.Event) -> None:
        """Look and deliver until told to stop."""
        posts = [
            threading.Thread(target=self._deliver_all, args=(sink, stopping), daemon=True)
            for sink in self.alerts.to
        ]
        for post in posts:
            post.start()
        while not stopping.is_set():
            self._wake.clear()
            try:
                self.look()
            except Exception:
                # Whatever is wrong with one look, the next one comes.
                log.exception("alerts: cannot look")
            self._wake.wait(LOOK_S)
        for post in posts:
            post.join()

    def look(self) -> Sequence[Change]:
        """Look once, and keep what has changed."""
        with self.connect() as base:
            return self.outbox.tell(
                lambda state: self._decided(base, state), [sink.name for sink in self.alerts.to]
            )

    def deliver(self, sink: Mail | Post) -> bool:
        """Hand over the oldest message of a sink; False if there is none. SinkError: try again."""
        message = self.outbox.next(sink.name)
        if message is None:
            return False
        try:
            deliver(sink, message, home=self.name)
        except RefusedError as error:
            log.warning("alerts: left out, %s: %s", error, message.title)
        self.outbox.taken(message)
        return True

    def _deliver_all(self, sink: Mail | Post, stopping: threading.Event) -> None:
        pause = PAUSE_S
        while not stopping.is_set():
            try:
                if self.deliver(sink):
                    pause = PAUSE_S
                    continue
                stopping.wait(1.0)
            except SinkError as error:
                log.warning("alerts: %s; tried again in %.0f s", error, pause)
                stopping.wait(pause)
                pause = min(pause * 2, PAUSE_MAX_S)

    def _decided(self, base: Any, state: State) -> tuple[Sequence[Change], State]:  # noqa: ANN401  DuckDB's connection has no type
        seen: dict[str, int] = dict(state.get("seen", {}))
        heard = dict(state.get("heard", {}))
        newest = dict(base.execute(NEWEST).fetchall())
        for device, when in newest.items():
            # A clock ahead of ours says nothing of when it was heard.
            heard[device] = max(heard.get(device, 0), min(when, self._now()))
        heard |= {device: max(heard.get(device, 0), at) for device, at in self._heard.items()}
        facts = Facts(
            now=self._now(),
            heard=heard,
            missing=dict.fromkeys(newest, 0) | dict(base.execute(MISSING).fetchall()),
            dead=base.execute(DEAD).fetchone()[0],
            sources=self.sources(),
            disk_free=shutil.disk_usage(self.folder).free,
            fixes=self._fixes(base, seen, newest),
            minutes=self._minutes(base, seen, newest),
        )
        rest = {name: part for name, part in state.items() if name not in ("seen", "heard")}
        found, known = changes(self.alerts, rest, facts)
        newest = {device: max(when, seen.get(device, 0)) for device, when in newest.items()}
        return found, known | {"seen": seen | newest, "heard": heard}

    def _fixes(
        self,
        base: Any,  # noqa: ANN401  as above
        seen: dict[str, int],
        newest: dict[str, int],
    ) -> dict[str, list[Fix]]:
        """Give the positions since the last look; of a vehicle seen first only the newest."""
        if not self.alerts.places:
            return {}
        return {
            device: [
                Fix(*row)
                for row in base.execute(FIXES, [device, seen.get(device, when - 1)]).fetchall()
            ]
            for device, when in newest.items()
        }

    def _minutes(
        self,
        base: Any,  # noqa: ANN401  as above
        seen: dict[str, int],
        newest: dict[str, int],
    ) -> dict[str, list[Jam]]:
        """Give the whole minutes since the last look."""
        found = {}
        for device, when in newest.items():
            end = when // MINUTE_MS * MINUTE_MS
            begin = seen.get(device, end - MINUTE_MS) // MINUTE_MS * MINUTE_MS
            rows = base.execute(JAMS, [device, begin, end]).fetchall()
            found[device] = [Jam(minute, bool(jam)) for minute, jam in rows]
        return found

    def _now(self) -> int:
        return int(self.clock() * 1000)
