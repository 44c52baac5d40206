"""What the one process shows and tells: the map, the live lane, alerts; and what it asks for.

Each part is added to a home as a route, a listener or a piece of work; `home.server` knows none.
"""

from __future__ import annotations

import socket
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from home import engine
from home.alerts import settings as alert_settings
from home.alerts.watch import Watch
from home.map.serve import Live, MapServer, from_topic
from home.mariadb import settings as mariadb_settings
from home.mariadb.follow import Following
from home.sources import settings as source_settings
from home.sources.run import SourceStatus, poll_for_ever

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from home.server import Home


def parts(home: Home) -> list[Callable[[], None]]:
    """Add the parts that home.yaml names, and give the work that goes on beside the receiving."""
    states: dict[str, SourceStatus] = {}
    return [*_map(home), *_sources(home, states), *_alerts(home, states), *_mariadb(home)]


def _map(home: Home) -> list[Callable[[], None]]:
    live = Live()
    page = MapServer(home.config, live, home.stopping)
    home.routes |= page.routes()
    home.landing.listeners.append(lambda _name, entry: live.tell(entry.newest.items()))
    home.built.append(live.built)
    kafka = home.config.kafka
    if kafka is None or not kafka.live_topic:
        return []
    return [partial(from_topic, kafka, live, home.stopping)]


def _alerts(home: Home, states: Mapping[str, SourceStatus]) -> list[Callable[[], None]]:
    config = home.config
    if not config.alerts:
        return []
    watch = Watch(
        alerts=alert_settings.read(config.alerts, config.file),
        folder=config.folder,
        name=socket.gethostname(),
        connect=partial(engine.connect, config),
        sources=lambda: {name: state.error for name, state in states.items()},
    )
    home.landing.listeners.append(lambda _name, entry: watch.arrived(entry.newest))
    home.built.append(watch.built)
    home.more["alerts_waiting"] = watch.outbox.waiting
    return [partial(watch.run, home.stopping)]


def _mariadb(home: Home) -> list[Callable[[], None]]:
    config = home.config
    if not config.mariadb:
        return []
    following = Following(config, mariadb_settings.read(config.mariadb, config.file))
    home.built.append(following.changed.set)
    home.more["mariadb"] = following.status
    return [partial(following.run, home.stopping)]


def _sources(home: Home, states: dict[str, SourceStatus]) -> list[Callable[[], None]]:
    config = home.config
    found = source_settings.read(config.sources, config.file) if config.sources else []
    states |= {source.name: SourceStatus(name=source.name) for source in found}
    if found:
        home.more["sources"] = lambda: {name: asdict(each) for name, each in states.items()}
    return [
        partial(
            poll_for_ever, source, home.landing, config.folder, home.stopping, states[source.name]
        )
        for source in found
    ]
