"""The report of `invoke selftest` holds nothing of its owner, and what is asked for is checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from glovebox.errors import ConfigError
from glovebox.host.monitor import Monitor
from glovebox.trials import selftest
from glovebox.trials.parts import Outcome, Result

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.store.store import Store


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"base": "raspbian"}, "'raspbian' is no base"), ({"board": "6"}, "'6' is no board")],
)
def test_what_there_is_not(tmp_path: Path, asked: dict[str, str], said: str) -> None:
    """A base or board that there is not is told before anything is fetched."""
    with pytest.raises(ConfigError, match=said):
        selftest.run_on(
            Monitor(quiet=True), store=cast("Store", None), out=tmp_path / "out", **asked
        )
    assert not (tmp_path / "out").exists()


def test_nothing_of_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths, names, addresses and mails are taken out of what programs said; versions stay."""
    monkeypatch.setenv("SUDO_USER", "grace")
    monkeypatch.setattr(selftest.socket, "gethostname", lambda: "compiler")
    why = (
        f"{tmp_path}/image.yaml: grace@compiler, grace@example.org, 192.168.1.7,"
        " b8:27:eb:00:11:22: no route; disgrace stays, so does cross-compiler"
    )
    outcomes = [Outcome(name="lock", result=Result.FAILED, seconds=1.23, why=why)]
    found = {"stock": {"packages": {"libx": "1.2.3.4"}}}

    told = selftest._report(outcomes, found, base="raspios", board="3", out=tmp_path)

    text = json.dumps(told)
    for own in (str(tmp_path), "grace@", "192.168", "b8:27", "example.org"):
        assert own not in text
    assert "OUT/image.yaml" in told["parts"][0]["why"]
    assert "disgrace stays, so does cross-compiler" in told["parts"][0]["why"]
    assert told["stock"]["packages"] == {"libx": "1.2.3.4"}
    assert told["parts"][0]["result"] == "failed"


def test_a_configuration_of_nobody(tmp_path: Path) -> None:
    """What is built has no network, key or place of its owner in it, and can be reached."""
    config = selftest._configuration(tmp_path, "raspios", "3")

    text = config.read_text()
    assert "wifi" not in text
    assert "profile: bench" in text
    script = tmp_path / "reachable/00-ssh/00-run-chroot.sh"
    assert "systemctl enable ssh" in script.read_text()
