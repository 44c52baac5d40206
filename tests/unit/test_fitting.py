"""What a suite is too old for is compiled: the stage for it comes by itself, once, and says why."""

from __future__ import annotations

import pytest

from glovebox.config.build import BuildConfig
from glovebox.config.schema import BoardName, StageEntry
from glovebox.errors import ConfigError
from glovebox.plan import fitting


def config(*stages: str) -> BuildConfig:
    """Give a configuration with these stages."""
    entries = tuple(StageEntry(path=name) for name in stages)
    return BuildConfig(board=BoardName.PI_3, stages=entries)


@pytest.mark.parametrize("suite", ["bookworm", "bullseye"])
def test_an_older_gpsd(suite: str) -> None:
    """Where gpsd is older than the recorder's, ours is compiled right behind the suite's."""
    found, why = fitting.to_suite(config("gnss", "queue"), suite)

    names = [entry.path for entry in found.stages]
    assert names == ["gnss", "gnss-source", "queue"]
    (reason,) = why
    assert reason.startswith(f"{suite}'s gpsd is 3.22, the recorder is made for 3.25 and later:")
    assert "the stage gnss-source is added" in reason


@pytest.mark.parametrize(
    ("suite", "stages"),
    [
        ("trixie", ("gnss", "telematics")),
        ("bookworm", ("queue",)),
        ("bookworm", ("gnss", "queue", "gnss-source")),
    ],
)
def test_nothing_to_add(suite: str, stages: tuple[str, ...]) -> None:
    """A newer suite, an image without a receiver, and an owner who said so keep their stages."""
    found, why = fitting.to_suite(config(*stages), suite)

    assert [entry.path for entry in found.stages] == list(stages)
    assert why == ()


def test_an_older_python() -> None:
    """Where the service cannot run it is refused at once, not on the road."""
    with pytest.raises(ConfigError, match=r"telematics needs Python 3\.11, bullseye has 3\.9"):
        fitting.to_suite(config("gnss", "telematics"), "bullseye")

    fitting.to_suite(config("gnss", "telematics"), "bookworm")
