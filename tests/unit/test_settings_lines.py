"""What stages wrote into files that the settings write, too, stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.checkout import CHECKOUT
from glovebox.host.run import run

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = CHECKOUT / "stages/settings/00-board/03-run-chroot.sh"
OURS = {
    "fstab": "# ours\nPARTUUID=new-02\t/\text4\tdefaults\t0\t1\n"
    "PARTUUID=new-01\t/boot/firmware\tvfat\tdefaults\t0\t2\n",
    "hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tvan\n::1\tlocalhost ip6-localhost\n",
    "hostname": "van\n",
    "locale.conf": "LANG=de_DE.UTF-8\n",
    "keyboard": 'XKBMODEL="pc105"\nXKBLAYOUT="de"\nXKBVARIANT=""\n',
}


STOCK_FSTAB = (
    "proc            /proc           proc    defaults          0       0\n"
    "PARTUUID=0badcafe-01  /boot/firmware  vfat    defaults          0       2\n"
    "PARTUUID=0badcafe-02  /               ext4    defaults,noatime  0       1\n"
)


def merged(folder: Path, theirs: dict[str, str], *, whole: str = "") -> dict[str, str]:
    """Run the lines of the script that merge, on a root in a folder."""
    etc, ours = folder / "etc", folder / "settings"
    for place, found in ((ours, OURS), (etc, theirs)):
        for name, text in found.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
    (etc / "default").mkdir(parents=True, exist_ok=True)
    script = SCRIPT.read_text()
    part = script[script.index("# Files of which a stage") : script.index("# What stages logged")]
    part = part.replace("/run/settings", str(ours)).replace("/etc/", f"{etc}/")
    run(["bash", "-e", "-c", f"boot=boot/firmware\ndisk_id=12345678\nwhole={whole}\n{part}"])
    return {str(path.relative_to(etc)): path.read_text() for path in etc.rglob("*")
            if path.is_file()}  # fmt: skip


def test_nothing_of_theirs(tmp_path: Path) -> None:
    """On a root without them the files are what image.yaml says."""
    found = merged(tmp_path, {})

    assert found == {**{name: OURS[name] for name in ("fstab", "hosts", "hostname", "locale.conf")},
                     "default/keyboard": OURS["keyboard"]}  # fmt: skip


def test_lines_of_stages_stay(tmp_path: Path) -> None:
    """Swap, tmpfs and shares; names of other machines; other words of the locale; a variant."""
    found = merged(
        tmp_path,
        {
            "fstab": "proc /proc proc defaults 0 0\nPARTUUID=old-02 / ext4 defaults 0 1\n"
            "PARTUUID=old-01 /boot/firmware vfat defaults 0 2\n# a comment\n"
            "/swapfile none swap sw 0 0\ntmpfs /tmp tmpfs size=50% 0 0\nnas:/x /mnt nfs ro 0 0\n",
            "hosts": "127.0.0.1 localhost\n127.0.1.1 raspberrypi alias\n"
            "# own\n10.0.0.5 nas nas.lan\n",
            "hostname": "raspberrypi\n",
            "default/locale": "LANG=en_GB.UTF-8\nLC_TIME=C.UTF-8\n",
            "default/keyboard": 'XKBLAYOUT="de"\nXKBVARIANT="nodeadkeys"\n',
        },
    )

    assert found["fstab"] == OURS["fstab"] + (
        "proc /proc proc defaults 0 0\n/swapfile none swap sw 0 0\n"
        "tmpfs /tmp tmpfs size=50% 0 0\nnas:/x /mnt nfs ro 0 0\n"
    )
    assert found["hosts"] == OURS["hosts"] + "127.0.1.1 alias\n10.0.0.5 nas nas.lan\n"
    assert found["hostname"] == "van\n"
    assert found["locale.conf"] == "LANG=de_DE.UTF-8\nLC_TIME=C.UTF-8\n"
    assert 'XKBVARIANT="nodeadkeys"' in found["default/keyboard"]


@pytest.mark.parametrize("layout", ['XKBLAYOUT="us"\n', ""])
def test_a_variant_belongs_to_its_layout(tmp_path: Path, layout: str) -> None:
    """With another layout, or none, the keyboard is image.yaml's alone."""
    found = merged(tmp_path, {"default/keyboard": f'{layout}XKBVARIANT="intl"\n'})

    assert found["default/keyboard"] == OURS["keyboard"]


def test_a_stock_image_keeps_its_fstab(tmp_path: Path) -> None:
    """Only the disk's id is another: options and the file system check are the stock image's."""
    found = merged(tmp_path, {"fstab": STOCK_FSTAB})

    assert found["fstab"] == STOCK_FSTAB.replace("0badcafe", "12345678")


def test_a_whole_image_of_ours_has_our_fstab(tmp_path: Path) -> None:
    """On base debian, and in a car on any base, the partitions are mounted as we mount them."""
    found = merged(tmp_path, {"fstab": STOCK_FSTAB}, whole="yes")

    assert found["fstab"] == OURS["fstab"] + STOCK_FSTAB.splitlines(keepends=True)[0]


def first_start(folder: Path, machine_id: str | None, *, whole: str = "") -> tuple[str, list[str]]:
    """Run the lines of the script on what waits for the first start; give id and stamps."""
    for name in ("etc", "var"):
        (folder / name).mkdir()
    if machine_id is not None:
        (folder / "etc/machine-id").write_text(machine_id)
    script = SCRIPT.read_text()
    part = script[script.index("# Empty: the board makes its own") :]
    part = part.replace("/etc/machine-id", f"{folder}/etc/machine-id")
    part = part.replace('"/$folder/', f'"{folder}/$folder/')
    run(["bash", "-e", "-c", f"whole={whole}\n{part}"])
    stamps = sorted(str(path.relative_to(folder)) for path in folder.rglob(".updated"))
    return (folder / "etc/machine-id").read_text(), stamps


@pytest.mark.parametrize(
    ("machine_id", "whole", "found"),
    [
        ("uninitialized\n", "", "uninitialized\n"),
        ("", "", ""),
        (None, "", ""),
        ("0123456789abcdef0123456789abcdef\n", "", ""),
        ("uninitialized\n", "yes", ""),
    ],
)
def test_what_the_first_start_waits_on(
    tmp_path: Path, machine_id: str | None, whole: str, found: str
) -> None:
    """A stock image's word for "never started" stays, since its growth waits on it; no id does."""
    kept, stamps = first_start(tmp_path, machine_id, whole=whole)

    assert kept == found
    assert stamps == (["etc/.updated", "var/.updated"] if whole else [])
