"""The power goes at moments of the first start: the card comes up each time, grows and records."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from glovebox import card
from glovebox.nmea import drive
from glovebox.run import run
from tests.cuts import virt

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.emulator import Qemu

pytestmark = pytest.mark.needs("debugfs", "dumpe2fs", "e2fsck", "mcopy", "sfdisk")

CARD = 4 * 1024**3
BOOT_TIMEOUT_S = 900  # a minute on an idle machine; a busy one took six
RECORDS = 8
# What the console says at the moment, and how long after it the power goes.
MOMENTS = (
    ("Running /scripts/local-bottom", 0.0),  # data is checked and mounted
    (r"Reached target.*basic\.target", 0.5),  # the queue makes its first files
    (r"Starting.*glovebox-grow", 0.0),
    ("resizing filesystem", 0.0),  # the table is written, the file system grows
    # It may have been done by the cut before.
    (r"resized filesystem|Finished.*glovebox-grow|login:", 0.0),
    (r"Started.*telematics", 3.0),  # records are being written
)


def data_of(disk: Path, folder: Path) -> Path:
    """Copy the data partition out of a card, and replay its journal: no fault may be left."""
    part = card.table(disk).partitions[2]
    copy = folder / "data.ext4"
    run(["dd", f"if={disk}", f"of={copy}", "bs=4M", "conv=sparse", "status=none",
         "iflag=skip_bytes,count_bytes", f"skip={part.start}", f"count={part.size}"])  # fmt: skip
    checked = run(["e2fsck", "-f", "-p", copy], check=False)
    assert checked.returncode in {0, 1}, checked.stdout + checked.stderr
    return copy


def read(data: Path, name: str) -> str:
    """Read a file of the data partition; empty if it is not there."""
    return run(["debugfs", "-R", f"cat {name}", data]).stdout


def records(data: Path) -> int:
    """Count the records in the queue's files."""
    count = 0
    for folder in ("queue", "redis"):
        listing = run(["debugfs", "-R", f"ls -p /{folder}/appendonlydir", data]).stdout
        for name in re.findall(r"/(appendonly[^/]*\.incr\.aof)/", listing):
            count += read(data, f"/{folder}/appendonlydir/{name}").count("XADD")
    return count


def blocks(data: Path) -> int:
    """Give the size of the file system in blocks."""
    found = re.search(r"^Block count:\s+(\d+)$", run(["dumpe2fs", "-h", data]).stdout, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_a_card_that_is_cut_again_and_again(image: Path, qemu: Qemu, tmp_path: Path) -> None:
    """After each cut the next start gets further; identity stays, no record is lost, data grows."""
    kit = virt.unpack(image, tmp_path)
    disk = virt.insert(image, tmp_path / "card.img", CARD)
    identity, recorded = "", 0
    seen = []
    try:
        for pattern, pause in MOMENTS:
            with virt.powered(kit, disk, qemu=qemu, folder=tmp_path) as machine:
                machine.dongle.drive(drive(datetime.now(UTC).replace(microsecond=0), 3600))
                machine.wait_for(pattern, BOOT_TIMEOUT_S)
                time.sleep(pause)
                machine.cut()
            data = data_of(disk, tmp_path)
            found = read(data, "/system/machine-id")
            assert not identity or found == identity, "the first start came twice"
            identity = found
            assert records(data) >= recorded, "a cut took what was recorded before"
            recorded = records(data)
            seen.append({"cut": pattern, "records": recorded, "blocks": blocks(data)})

        with virt.powered(kit, disk, qemu=qemu, folder=tmp_path) as machine:
            machine.dongle.drive(drive(datetime.now(UTC).replace(microsecond=0), 3600))
            machine.wait_for(r"Started.*telematics", BOOT_TIMEOUT_S)
            machine.wait_for("login:", BOOT_TIMEOUT_S)
            time.sleep(RECORDS)
            machine.cut()
            assert "FAILED" not in machine.console()
        data = data_of(disk, tmp_path)
        seen.append({"cut": "last", "records": records(data), "blocks": blocks(data)})
    finally:
        print(json.dumps(seen, indent=1))  # noqa: T201  shown when it fails, and with -s

    part = card.table(disk).partitions[2]
    assert re.fullmatch(r"[0-9a-f]{32}\n", identity)
    assert read(data, "/system/machine-id") == identity
    assert records(data) > recorded
    assert CARD - (part.start + part.size) < 16 * 1024**2, "the partition did not grow"
    assert blocks(data) * 4096 == part.size, "the file system did not grow"
    for before, after in zip(card.table(image).partitions[:2], card.table(disk).partitions[:2],
                             strict=True):  # fmt: skip
        assert before == after
