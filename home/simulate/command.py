"""``home simulate``: make drives, send them, and compare what arrived with what was made."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from home.errors import HomeError
from home.simulate import compare, nmea
from home.simulate.mishaps import NONE, Plan, Rates, Truth, merged, sources
from home.simulate.send import HttpLane, Kafka, KafkaLane, Pace, SendError, send

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from home.simulate.mishaps import Source
    from home.simulate.send import Lane

BEGIN = "2026-05-04"
EXIT_SAME, EXIT_DIFFERENT, EXIT_STOPPED = 0, 1, 130
EVERYBODY = "*"


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    number = _whole
    parser.add_argument("--events", type=number, default=10_000, help="records to make")
    parser.add_argument("--workers", type=number, default=2, help="senders at the same time")
    parser.add_argument(
        "--max-delay", type=_seconds, default=0.0, metavar="S",
        help="each worker waits up to so many seconds before each event; 0: as fast as it goes",
    )  # fmt: skip
    parser.add_argument("--vehicles", type=number, default=3, help="how many drive")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same drives")
    parser.add_argument("--from", dest="begin", type=_day, default=_day(BEGIN), metavar="DAY")
    parser.add_argument("--clean", action="store_true", help="no repeats, disorder or damage")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--http", metavar="URL", help="POST to this address")
    way.add_argument("--kafka", metavar="HOST:PORT", help="produce to these brokers")
    way.add_argument("--nmea", type=Path, metavar="FILE", help="write what a receiver says")
    parser.add_argument("--topic", default="telematics")
    parser.add_argument("--security", choices=("tls", "sasl", "plaintext"), default="tls")
    parser.add_argument("--user", default="", help="for sasl")
    parser.add_argument(
        "--secrets", type=Path, default=Path("secrets"), metavar="FOLDER",
        help="ca.pem, client.pem, client.key, password; for HTTP api-key or DEVICE/api-key",
    )  # fmt: skip
    parser.add_argument(
        "--compare", type=Path, metavar="FOLDER", help="compare with what arrived in this home"
    )
    parser.add_argument(
        "--wait", type=_seconds, default=60.0, metavar="S", help="for the last of it to arrive"
    )


def run(options: argparse.Namespace, *, say: Callable[[str], None] = print) -> int:
    """Do it; 0 only if all that was made arrived as it was made."""
    plan = Plan(
        events=options.events,
        vehicles=min(options.vehicles, options.events),
        seed=options.seed,
        begin=options.begin,
        rates=NONE if options.clean or options.nmea else Rates(),
    )
    if options.nmea:
        return _write_nmea(plan, options.nmea, say=say)
    stopping = threading.Event()
    try:
        return _send_and_compare(plan, options, stopping=stopping, say=say)
    except KeyboardInterrupt:
        stopping.set()
        say("stopped; nothing was compared")
        return EXIT_STOPPED


def _send_and_compare(
    plan: Plan,
    options: argparse.Namespace,
    *,
    stopping: threading.Event,
    say: Callable[[str], None],
) -> int:
    made = sources(plan)
    lane, arrived = _way(options)
    pace = Pace(workers=options.workers, max_delay_s=options.max_delay, seed=options.seed)
    with _progress(plan.events) as sent:
        try:
            send(made, lane=lane, pace=pace, sent=sent, stopping=stopping)
        except SendError as error:
            raise HomeError(f"{error}; hint: is the other side there, with that key?") from error
    truth = _truth(made)
    say(
        f"made {truth.events:,} records of {plan.vehicles} vehicles; sent {truth.messages:,} "
        f"messages, {truth.repeats:,} of them once more, {len(truth.damaged):,} damaged"
    )
    differences: Sequence[str] = ()
    if options.compare:
        from home.simulate.arrived import in_home  # noqa: PLC0415  it brings the engine

        say(f"comparing with {options.compare} …")
        differences = in_home(options.compare, truth, wait_s=options.wait)
    elif arrived:
        say("comparing with what the topic holds …")
        messages = list(arrived())
        differences = [
            *compare.records(truth, messages, once=False).lines(),
            *compare.letters(truth, (raw for raw in messages if compare.damaged(raw))).lines(),
        ]
    else:
        say("every request was answered with success; hint: --compare FOLDER compares what arrived")
        return EXIT_SAME
    for line in differences:
        say(f"DIFFERENT: {line}")
    if not differences:
        say("what arrived is what was made")
    return EXIT_DIFFERENT if differences else EXIT_SAME


def _way(
    options: argparse.Namespace,
) -> tuple[Callable[[], Lane], Callable[[], Iterator[bytes]] | None]:
    """Give what makes a worker's connection, and what reads the messages back, if anything can."""
    if options.http:
        keys, authority = _keys(options.secrets), options.secrets / "ca.pem"
        known = authority if authority.exists() else None
        return (lambda: HttpLane(options.http, keys, authority=known)), None
    from confluent_kafka import KafkaException  # noqa: PLC0415  only who sends by Kafka has it

    from home.simulate.topic import Mark  # noqa: PLC0415  as above
    from telematics.sink import SinkError  # noqa: PLC0415  as above

    kafka = Kafka(
        servers=options.kafka, topic=options.topic, security=options.security,
        secrets=options.secrets, user=options.user,
    )  # fmt: skip
    try:
        mark = Mark(kafka)
    except SinkError as error:
        raise HomeError(str(error)) from error
    except (KafkaException, KeyError) as error:
        raise HomeError(f"{options.kafka}, topic {options.topic}: {error}") from error
    return (lambda: KafkaLane(kafka)), mark.since


def _keys(folder: Path) -> Mapping[str, str]:
    """Read `api-key` of everybody, and of each vehicle that has a folder of its own."""
    files = {EVERYBODY: folder / "api-key"} | {
        file.parent.name: file for file in sorted(folder.glob("*/api-key"))
    }
    keys = {
        name: file.read_text(encoding="utf-8").strip()
        for name, file in files.items()
        if file.is_file()
    }
    if not keys:
        raise HomeError(f"{folder / 'api-key'}: no such file; hint: --secrets FOLDER names another")
    return keys


def _truth(made: Sequence[Source]) -> Truth:
    truth = Truth()
    for source in made:
        truth.join(source.truth)
    return replace(truth, holes=merged(truth.holes))


def _write_nmea(plan: Plan, path: Path, *, say: Callable[[str], None]) -> int:
    if plan.vehicles != 1:
        raise HomeError("--nmea: a receiver tells of one vehicle; hint: --vehicles 1")
    (made,) = sources(plan)
    lines = 0
    half = path.with_name(f".{path.name}.half")
    with half.open("w", encoding="ascii", newline="\r\n") as log:
        for sighting in made.sightings():
            log.writelines(
                f"{line}\n" for line in nmea.sentences(sighting.record, time_ms=sighting.true_time)
            )
            lines += 1
    half.replace(path)
    say(f"{path}: {lines:,} seconds of driving; hint: ./invoke boot --drive {path} replays it")
    return EXIT_SAME


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    from rich import progress  # noqa: PLC0415  only who looks at it pays

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    lock = threading.Lock()
    with progress.Progress(*columns) as bar:
        task = bar.add_task("sending", total=total)

        def sent(count: int) -> None:
            with lock:
                bar.advance(task, count)

        yield sent


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 86_400:  # noqa: PLR2004  a day; not a number fails too
        raise ValueError(text)
    return value


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)


_whole.__name__, _seconds.__name__, _day.__name__ = "whole number", "number of seconds", "day"
