"""`invoke selftest --base raspios` from the list to the report, against the stand-in's server.

Board zero-2-w, which QEMU has not: an emulated start is proven elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.errors import VerifyError
from glovebox.host.monitor import Monitor
from glovebox.store.store import Store, default_root
from glovebox.trials import selftest

if TYPE_CHECKING:
    from tests.raspios_server import Server
    from tests.stock_image import Stock

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("mmdebstrap", "gpg", "xz", "mke2fs", "mformat", "sfdisk"),
]


def test_from_the_list_to_the_report(
    server: Server, newest: tuple[Stock, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It locks, looks, builds and verifies; the report says what came of each, and of no person."""
    monkeypatch.setenv("SUDO_USER", "grace")
    monkeypatch.setattr(selftest.socket, "gethostname", lambda: "graces-laptop")
    store = Store(root=default_root()).open()
    stock = newest[0]
    settings = [f"raspios.server={server.url}", f"raspios.archive={server.url}/debian"]

    with store.in_use():
        report = selftest.run_on(
            Monitor(quiet=True), store=store, out=tmp_path, board="zero-2-w", settings=settings
        )

    (store.root / "sources" / stock.sha256).unlink(missing_ok=True)
    text = report.read_text()
    told = json.loads(text)
    assert [(one["name"], one["result"]) for one in told["parts"]] == [
        ("lock", "passed"), ("look", "passed"), ("build", "passed"),
    ]  # fmt: skip
    assert told["image"]["sha256"] == stock.sha256
    parts = {one["role"]: one for one in told["stock"]["partitions"]}
    assert parts["boot"]["start"] == 16384 * 512
    assert told["stock"]["machine_id"] == "uninitialized"
    assert "resize" in told["stock"]["config"]["cmdline"].split()
    (tests,) = told["tests"].values()
    assert tests["passed"] > 0
    for own in (str(tmp_path), str(Path.home()), "grace", "graces-laptop"):
        assert own not in text


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """Without a network the report is there all the same: what failed, and that the rest waited."""
    store = Store(root=default_root()).open()

    with store.in_use(), pytest.raises(VerifyError, match="lock: failed"):
        selftest.run_on(
            Monitor(quiet=True), store=store, out=tmp_path, board="zero-2-w",
            settings=["raspios.server=http://127.0.0.1:9"],
        )  # fmt: skip

    told = json.loads((tmp_path / selftest.REPORT).read_text())
    assert [(one["name"], one["result"]) for one in told["parts"]] == [
        ("lock", "failed"), ("look", "not tried"), ("build", "not tried"),
    ]  # fmt: skip
