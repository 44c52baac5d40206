"""The receiver at the other end of the emulator's socket."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from glovebox.emulator.dongle import Dongle, plugged
from glovebox.emulator.nmea import Burst, Epoch, drive, encode, intact, sentences
from glovebox.errors import GloveboxError

START = datetime(2026, 5, 4, 6, 30, tzinfo=UTC)
PACE_S = 0.02


@pytest.fixture
def board(tmp_path: Path) -> Iterator[socket.socket]:
    """Stand in for QEMU: a socket that waits for the dongle."""
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(tmp_path / "gps"))
        server.listen()
        server.settimeout(10)
        yield server


def _path(board: socket.socket) -> Path:
    return Path(board.getsockname())


def _await(dongle: Dongle, count: int) -> None:
    until = time.monotonic() + 10
    while len(dongle.sent) < count:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_speaks_without_a_fix_until_it_drives(board: socket.socket) -> None:
    """First void sentences, then exactly the drive in order, then void ones again."""
    epochs = list(drive(START, 20))
    with plugged(_path(board), pace_s=PACE_S) as dongle:
        link, _ = board.accept()
        with ThreadPoolExecutor() as pool, closing(link), link.makefile("rb") as told:
            heard = pool.submit(told.read)
            _await(dongle, 3)
            dongle.drive(epochs)
            dongle.wait(10)
            _await(dongle, len(dongle.sent) + 3)
            dongle.close()
            lines = heard.result().decode().splitlines()

    modes = [each.epoch.mode for each in dongle.sent if isinstance(each.epoch, Epoch)]
    assert modes[0] == modes[-1] == 1
    assert [each.epoch for each in dongle.sent if each.epoch in epochs] == epochs
    assert all(map(intact, lines))
    # A host too busy to read loses epochs, as a board would; what was taken arrives.
    taken = [each.epoch for each in dongle.sent if each.taken]
    sent = b"".join(encode(sentences(each)) for each in epochs if each in taken)
    assert sent
    assert sent.decode().splitlines() == [
        line for line in lines if line in set(sent.decode().splitlines())
    ]


def test_a_drive_can_be_ended(board: socket.socket) -> None:
    """What was not sent when the drive was ended never is."""
    epochs = list(drive(START, 1000))
    with plugged(_path(board), pace_s=PACE_S) as dongle:
        link, _ = board.accept()
        with closing(link):
            dongle.drive(epochs)
            _await(dongle, 3)
            dongle.stop()
            dongle.wait(10)
            driven = [each.epoch for each in dongle.sent if each.epoch in epochs]
            _await(dongle, len(dongle.sent) + 3)

    assert driven == epochs[: len(driven)]
    assert [each.epoch for each in dongle.sent if each.epoch in epochs] == driven


def test_a_log_is_sent_as_it_stands(board: socket.socket) -> None:
    """What an owner recorded goes over the wire byte for byte."""
    burst = Burst(time="063000.00", sentences=("$GPTXT,01,01,02,hello*6B",))
    with plugged(_path(board), pace_s=PACE_S) as dongle:
        link, _ = board.accept()
        taken = False
        while not taken:
            dongle.drive([burst])
            dongle.wait(10)
            taken = next(each.taken for each in reversed(dongle.sent) if each.epoch is burst)
            if not taken:  # a machine that stalled told so much at once that there was no room
                link.recv(1 << 20)
    with closing(link), link.makefile("rb") as told:
        assert burst.encode() in told.read()


def test_it_never_waits_for_a_reader(board: socket.socket) -> None:
    """What nobody takes is lost and told so; what is taken later is whole sentences."""
    with plugged(_path(board), pace_s=0.001) as dongle:
        link, _ = board.accept()
        _await(dongle, 200)
        lost = [each for each in dongle.sent if not each.taken]
    with closing(link), link.makefile("rb") as told:
        lines = told.read().decode().splitlines()

    assert lost != []
    assert lines != []
    assert all(map(intact, lines))


def test_it_keeps_its_pace(board: socket.socket) -> None:
    """Epochs go out at the pace it was given, without drifting."""
    with plugged(_path(board), pace_s=0.05) as dongle:
        link, _ = board.accept()
        with closing(link):
            _await(dongle, 21)
    begun = dongle.sent[0].at

    assert dongle.sent[20].at - begun == pytest.approx(1.0, abs=0.2)


def test_it_waits_for_the_socket(tmp_path: Path) -> None:
    """It is powered before the emulator has made its socket."""
    path = tmp_path / "gps"
    with plugged(path, pace_s=PACE_S) as dongle, closing(socket.socket(socket.AF_UNIX)) as server:
        time.sleep(0.1)
        server.bind(str(path))
        server.listen()
        link, _ = server.accept()
        with closing(link):
            _await(dongle, 2)


def test_a_drive_into_the_void_is_told(board: socket.socket) -> None:
    """Whoever waits for a drive on a board that is gone learns it at once."""
    with plugged(_path(board), pace_s=PACE_S) as dongle:
        link, _ = board.accept()
        link.close()
        dongle.drive(drive(START, 1000))

        with pytest.raises(GloveboxError, match="unplugged"):
            dongle.wait(10)


def test_a_drive_that_takes_too_long_is_told(board: socket.socket) -> None:
    """The limit is kept, and the error says how much was left."""
    with plugged(_path(board), pace_s=PACE_S) as dongle:
        link, _ = board.accept()
        dongle.drive(drive(START, 1000))
        with closing(link), pytest.raises(GloveboxError, match=r"took over 0 s with 9\d\d epochs"):
            dongle.wait(0.1)
