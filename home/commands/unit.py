"""``home unit``: the systemd unit that runs this home for its user, from where it is run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

UNIT = """\
[Unit]
Description=Home base of the vehicles

[Service]
ExecStart="{python}" -m home --config "{config}" serve
WorkingDirectory={folder}
Environment="PYTHONPATH={path}"
Restart=always
RestartSec=5
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def add(_parser: argparse.ArgumentParser) -> None:
    """Take no options: it is about the home.yaml that is read."""


def run(options: argparse.Namespace) -> int:
    """Write the unit to where it is piped to."""
    import telematics  # noqa: PLC0415
    from home.cli import CONFIG  # noqa: PLC0415
    from home.errors import HomeError  # noqa: PLC0415

    config = (options.config or CONFIG).resolve()
    if not config.is_file():
        raise HomeError(f"{config}: no such file; hint: `folder: home-data` in it is enough")
    places = dict.fromkeys(
        (Path(__file__).resolve().parents[2], Path(telematics.__file__).resolve().parents[1])
    )
    text = UNIT.format(
        python=sys.executable,
        config=config,
        folder=config.parent,
        path=":".join(map(str, places)),
    )
    # A percent sign begins a name of systemd's, see systemd.unit(5).
    sys.stdout.write(text.replace("%", "%%"))
    return 0
