"""``home key``: the key that a vehicle posts with."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Take the vehicle and the file."""
    parser.add_argument("device", help="the name that its records have")
    parser.add_argument(
        "--file", type=Path, metavar="FILE", help="default: home.yaml's, or keys/DEVICE"
    )


def run(options: argparse.Namespace) -> int:
    """Make one, readable for its owner only; one that is there is kept."""
    from home.errors import HomeError  # noqa: PLC0415

    path = options.file or options.home.vehicles.get(options.device) or Path("keys", options.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise HomeError(f"{path} is there already; hint: remove it for a new key") from None
    with os.fdopen(opened, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    sys.stdout.write(
        f"{path} is written; put it on the vehicle as publish_secrets/api-key,"
        " and into home.yaml:\n"
        f"vehicles:\n  {options.device}: {{ key_file: {path} }}\n"
    )
    return 0
