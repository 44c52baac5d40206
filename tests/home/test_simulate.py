"""The producer against the real home and a real broker: what arrived is what was made."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.home.parts import KEY, HomeProcess, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka_broker import Broker

PATIENCE_S = 300


def _simulate(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "home", "simulate", *words],
        capture_output=True, text=True, check=False, env=environment(), cwd=folder,
        timeout=PATIENCE_S,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[HomeProcess]:
    """Run a home that takes two vehicles' records by HTTP."""
    process = HomeProcess(
        tmp_path,
        "listen: 127.0.0.1:0\nvehicles:\n  truck-1: {key_file: key}\n  truck-2: {key_file: key2}\n",
    )
    (tmp_path / "key2").write_text(KEY[::-1] + "\n")
    for name, key in (("truck-1", KEY), ("truck-2", KEY[::-1])):
        (tmp_path / "secrets" / name).mkdir(parents=True)
        (tmp_path / "secrets" / name / "api-key").write_text(key + "\n")
    process.start()
    yield process
    process.end()


def test_a_home_has_what_was_made_and_a_loss_is_told(home: HomeProcess, tmp_path: Path) -> None:
    """By HTTP, with repeats, disorder and damage: 0 differences; with a segment less: status 1."""
    host, port = home.address
    words = (
        "--http", f"http://{host}:{port}/records", "--vehicles", "2", "--events", "6000",
        "--seed", "4", "--secrets", str(tmp_path / "secrets"), "--compare", str(home.data),
        "--wait", "20",
    )  # fmt: skip

    first = _simulate(tmp_path, *words)
    again = _simulate(tmp_path, *words)
    segments = sorted((home.data / "landing" / "http").rglob("[!.]*.lines"))
    segments[len(segments) // 2].write_bytes(b"")
    less = _simulate(tmp_path, *words[:-1], "2", "--events", "6001")

    assert first.returncode == 0, first
    assert "what arrived is what was made" in first.stdout
    assert again.returncode == 0, again
    assert less.returncode == 1, less
    assert "DIFFERENT:" in less.stdout
    assert "Traceback" not in first.stderr + again.stderr + less.stderr


def test_a_wrong_key_is_one_clear_error(home: HomeProcess, tmp_path: Path) -> None:
    """Who is refused is told by whom and with which words; no traceback."""
    host, port = home.address
    (tmp_path / "secrets" / "truck-1" / "api-key").write_text("wrong")

    ended = _simulate(
        tmp_path, "--http", f"http://{host}:{port}/records", "--vehicles", "1", "--events", "5",
        "--secrets", str(tmp_path / "secrets"),
    )  # fmt: skip

    assert ended.returncode == 1
    assert "403" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_topic_has_what_was_made(broker: Broker, tmp_path: Path) -> None:
    """By Kafka with client certificates: the topic holds every message of three workers."""
    ended = _simulate(
        tmp_path, "--kafka", broker.tls, "--secrets", str(broker.secrets), "--events", "5000",
        "--vehicles", "3", "--workers", "3", "--seed", "6",
    )  # fmt: skip

    assert ended.returncode == 0, ended
    assert "what arrived is what was made" in ended.stdout


def test_no_broker_is_one_clear_error(tmp_path: Path) -> None:
    """A broker that is not there is told with its address; no traceback."""
    ended = _simulate(tmp_path, "--kafka", "127.0.0.1:9", "--security", "plaintext")

    assert ended.returncode == 1
    assert "127.0.0.1:9" in ended.stderr
    assert "Traceback" not in ended.stderr
