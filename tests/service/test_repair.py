"""Whatever befell the queue's files: it starts, without a human, with all that is readable."""

from __future__ import annotations

import json
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from parts import KEY, Redis, need, until

from glovebox.host.run import run
from telematics.files import RealDisk
from telematics.floor import floor_ms
from telematics.journal import Journal
from telematics.numbers import Numbers
from telematics.publish import Publisher
from telematics.queue import RedisQueue
from telematics.record import Identity, decode
from telematics.repair import FOLDER, KEPT, PATIENCE, Outcome, repair
from telematics.writer import Writer
from tests.contract_model import ModelSink, epoch, maker
from tests.contract_table import row_in_docs, write_row, writing
from tests.queue_faults import FAULTS, HALF, RECORDS, Fault, flip

if TYPE_CHECKING:
    from collections.abc import Iterator

MEND = (
    Path(__file__).parent.parent.parent
    / "stages/telematics/00-service/01-overlay/usr/lib/glovebox/mend-queue"
)
IDENTITY = Identity(device="truck-7", installation="k3x9w2", boot="1f0c9a")


@dataclass
class Board:
    """Redis, its folder, and the recorder's state beside it."""

    redis: Redis
    queue: Path
    state: Path
    now: int = 10_000_000

    def record(self, count: int) -> Writer:
        """Record epochs as the service does, and stop without a word."""
        numbers = Numbers(RealDisk(), self.state / "numbers", make=lambda: "k3x9w2")
        writer = Writer(
            self.stream(), journal=Journal(RealDisk(), self.state), numbers=numbers,
            make=maker(IDENTITY), boot="1f0c9a", clock=lambda: self.now,
        )  # fmt: skip
        for number in range(count):
            writer.put(epoch(number, mono=self.now))
        until(lambda: self._all_in(writer), what="the journal to be drained")
        return writer

    def _all_in(self, writer: Writer) -> bool:
        self.now += 1000
        writer.step(self.now)
        return writer.connected and not writer.waiting and not writer.spilling

    def stream(self) -> RedisQueue:
        """Give a connection with patience."""
        return RedisQueue(socket=str(self.redis.socket), key=KEY, timeout_s=30)

    def filled(self) -> None:
        """Record, half of it in the base and half in the increment, and die."""
        self.redis.start()
        self.record(HALF)
        client = self.redis.client()
        client.bgrewriteaof()
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], what="the rewrite")
        self.record(HALF)
        self.redis.end(signal.SIGKILL)

    def mended(self, *, again: bool = False) -> bool:
        """Look at the files as the unit does; tell whether that asked for a repair."""
        asked, mark = self.queue.parent / "asked", self.queue.parent / "looked"
        mark.touch() if again else mark.unlink(missing_ok=True)
        asked.unlink(missing_ok=True)
        stub = self.queue.parent / "repair"
        stub.write_text(f"#!/bin/sh\ntouch {asked}\n")
        stub.chmod(0o755)
        run(["sh", MEND, need("redis-check-aof"), self.queue, mark], env={"REPAIR": str(stub)})
        return asked.exists()

    def repaired(self) -> Outcome:
        """Repair as the unit does before the server starts."""
        return repair(self.queue, self.state, checker=[need("redis-check-aof")])


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """Give a board whose queue does not run yet."""
    queue, state = tmp_path / "queue", tmp_path / "state"
    queue.mkdir()
    state.mkdir()
    made = Board(redis=Redis(queue), queue=queue, state=state)
    yield made
    made.redis.end(signal.SIGKILL)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: str(each.name).replace(" ", "-"))
def test_queue_starts_after_any_fault(board: Board, fault: Fault) -> None:
    """It starts; what was not destroyed is published in order, and what was is announced."""
    board.filled()
    written = _numbers_written()
    fault.do(board.queue)
    mended = board.mended()
    outcome = board.repaired()
    assert mended or outcome.found == "sound", "the quick look missed it"
    board.redis.start()
    board.record(1)  # the recorder drains what was saved, and records on

    sink = ModelSink()
    publisher = Publisher(board.stream(), sink)
    while publisher.step():
        pass
    received = [int(str(line["seq"])) for line in sink.received()]
    lost = set(written) - set(received)
    told = {
        number
        for gap in sink.gaps()
        for number in range(int(str(gap["from"])), int(str(gap["to"])) + 1)
        if gap["kind"] != "unexplained"
    }
    assert received == sorted(set(received))
    assert len(lost) <= fault.destroys
    assert lost <= told | set(range(min(received)))
    if writing():
        write_row(fault.name, outcome.found, outcome.done, len(lost))
    assert row_in_docs(fault.name) == (outcome.found, outcome.done, len(lost))


def test_sound_files_need_no_repair(board: Board) -> None:
    """Whole files need no Python, until the queue has to start again without a boot in between."""
    assert not board.mended(), "there is nothing before the first start"
    board.filled()

    assert not board.mended()
    assert board.mended(again=True)


def _numbers_written() -> list[int]:
    # The second run was not told that the first one stopped: it begins behind the block.
    return [*range(1, HALF + 1), *range(HALF + 1, RECORDS + 1)]


def test_flipped_bits_anywhere(board: Board) -> None:
    """One bit anywhere in any file costs at most two records, and never the queue.

    Some damage only the server itself sees (a command's name): it ends, systemd starts it again,
    and after a few such starts what can be saved is.
    """
    board.filled()
    files = sorted((board.queue / FOLDER).iterdir())
    whole = {path: path.read_bytes() for path in files}
    seed = random.randrange(2**32)  # noqa: S311  printed, to be tried again
    print("seed", seed)  # noqa: T201
    chance = random.Random(seed)  # noqa: S311
    for _ in range(12):
        for path, content in whole.items():
            (board.queue / FOLDER).mkdir(exist_ok=True)
            path.write_bytes(content)
        for each in (board.queue / FOLDER).iterdir():
            if each not in whole:
                each.unlink()
        (board.state / "salvaged.journal").unlink(missing_ok=True)
        path = chance.choice(files)
        flip(path, chance.randrange(len(whole[path])))
        outcome = _begun(board)
        stands = {int(str(seq)) for seq in _whole_records(board)}
        saved = board.state / "salvaged.journal"
        if saved.exists():
            stands |= {decode(line).seq for line in saved.read_bytes().splitlines()}
        board.redis.end(signal.SIGKILL)

        assert len(stands) >= RECORDS - 2, (seed, path.name, outcome)


def _begun(board: Board) -> Outcome:
    """Look at the files and start, as systemd does again when the queue ends."""
    for _ in range(PATIENCE + 2):
        outcome = board.repaired()
        if board.redis.starts():
            return outcome
    raise AssertionError(f"the queue never starts: {outcome}")


def _whole_records(board: Board) -> Iterator[int]:
    for _, raw in board.stream().read("0-0", RECORDS * 2):
        try:
            yield decode(raw).seq
        except ValueError:
            continue


def test_what_is_cut_is_kept_but_not_for_ever(board: Board) -> None:
    """The last few damaged copies can be looked at; they never fill the card."""
    board.redis.start()
    board.record(10)
    board.redis.end(signal.SIGKILL)
    for _ in range(4):  # one more would be taken for starts that fail
        with max((board.queue / FOLDER).glob("*.incr.aof")).open("ab") as file:
            file.write(b"\0" * 100)
        assert board.repaired().found == "a torn end"

    assert len(list((board.queue / KEPT).iterdir())) == 3


def test_start_that_fails_again_and_again_is_ended(board: Board) -> None:
    """Damage that the checker does not see costs a few starts, and no record."""
    board.redis.start()
    board.record(10)
    board.redis.end(signal.SIGKILL)

    found = [board.repaired().found for _ in range(6)]

    assert found == ["sound"] * 5 + ["5 starts in a row failed"]
    assert len((board.state / "salvaged.journal").read_bytes().splitlines()) == 10


def test_clock_floor_is_the_newest_record(board: Board) -> None:
    """At boot time cannot be earlier than the newest confirmed record, wherever it stands."""
    board.redis.start()
    stream = board.stream()
    stream.newest()
    later = time.time_ns() // 1_000_000 + 365 * 86_400_000
    # Years ahead of all else is one receiver's word, and the clock was not set by it either.
    for seq, told in ((1, later), (2, later + 5 * 365 * 86_400_000)):
        made = maker(IDENTITY)(epoch(seq, time=told), seq, 1, None)
        stream.append([(seq, made._replace(time_ok=True).encode())])
    board.redis.end(signal.SIGKILL)

    assert floor_ms(board.queue, board.state) == later


def test_command_never_keeps_the_queue_from_starting(tmp_path: Path) -> None:
    """A checker that is missing is told; the unit starts the server all the same."""
    from telematics.cli import main  # noqa: PLC0415

    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    for name in ("appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof"):
        (folder / name).write_text(json.dumps(name))

    options = ["--queue", str(tmp_path), "--state", str(tmp_path), "--checker", "/no/such"]
    assert main(["repair", *options]) == 2
