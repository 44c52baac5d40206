"""What a stock image would do at its first start is read, in each form there was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from glovebox.card import first_start
from glovebox.card.first_start import INSTEAD, How, Job
from glovebox.checkout import CHECKOUT
from glovebox.host.run import run
from glovebox.stage import template

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROOT = "console=serial0,115200 console=tty1 root=PARTUUID=041bba91-02 rootfstype=ext4 rootwait"
WANTED = "etc/systemd/system/multi-user.target.wants"
SCRIPTS = "usr/share/initramfs-tools/scripts"


class Image:
    """A root file system with as much of an image in it as is asked for."""

    def __init__(self, root: Path) -> None:
        """Begin with one that does nothing by itself."""
        self.root = root
        self.boot = root / "boot/firmware"
        self.put("boot/firmware/cmdline.txt", f"{ROOT}\n")

    def put(self, name: str, text: str = "") -> None:
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def want(self, *units: str, by: str = WANTED) -> None:
        """Let a target want units, as systemctl enable does."""
        for unit in units:
            path = self.root / by / unit
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(f"/usr/lib/systemd/system/{unit}")

    def mask(self, name: str) -> None:
        """Mask a unit or a generator."""
        path = self.root / "etc/systemd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to("/dev/null")

    @property
    def jobs(self) -> dict[str, list[str]]:
        """Read it."""
        return first_start.read(self.root, self.boot).jobs


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Give an image that does nothing by itself."""
    return Image(tmp_path)


def bullseye(image: Image) -> None:
    """Fill in what an image until 2022 does."""
    word = "quiet init=/usr/lib/raspi-config/init_resize.sh"
    image.put("boot/firmware/cmdline.txt", f"{ROOT} {word}\n")
    image.want("S01resize2fs_once", by="etc/rc3.d")
    image.want("regenerate_ssh_host_keys.service", "sshswitch.service", "dphys-swapfile.service")


def bookworm(image: Image) -> None:
    """Fill in what an image with the init of 2023 to 2025 does."""
    word = "quiet init=/usr/lib/raspberrypi-sys-mods/firstboot"
    image.put("boot/firmware/cmdline.txt", f"{ROOT} {word}\n")
    image.put(f"{SCRIPTS}/local-premount/firstboot")
    image.put(f"{SCRIPTS}/local-bottom/imager_fixup")
    image.want("sshswitch.service", "userconfig.service", "dphys-swapfile.service")


def trixie(image: Image) -> None:
    """Fill in what an image of today does."""
    image.put("boot/firmware/cmdline.txt", f"{ROOT} resize\n")
    image.put("boot/firmware/user-data", "#cloud-config\n")
    image.put(f"{SCRIPTS}/local-premount/resize_early")
    image.put(f"{SCRIPTS}/local-bottom/set_partuuid")
    image.put("usr/lib/systemd/system-generators/rpi-swap-generator")
    image.put("usr/lib/systemd/system-generators/cloud-init-generator")
    image.want("rpi-resize.service", by="etc/systemd/system/sysinit.target.wants")
    image.want("sshswitch.service", "userconfig.service", "rpi-eeprom-update.service")
    image.want("cloud-init-main.service", by="etc/systemd/system/cloud-init.target.wants")
    image.want(
        "apt-daily.timer", "glovebox-warnings.timer", by="etc/systemd/system/timers.target.wants"
    )


@pytest.mark.parametrize(
    ("fill", "growth", "disk_id"),
    [
        (
            bullseye,
            ["word init=/usr/lib/raspi-config/init_resize.sh", "unit resize2fs_once.service"],
            ["word init=/usr/lib/raspi-config/init_resize.sh"],
        ),
        (
            bookworm,
            [
                "word init=/usr/lib/raspberrypi-sys-mods/firstboot",
                "script local-premount/firstboot",
            ],
            ["word init=/usr/lib/raspberrypi-sys-mods/firstboot"],
        ),
        (
            trixie,
            [
                "word resize",
                "unit rpi-resize.service",
                "unit systemd-growfs-root.service",
                "script local-premount/resize_early",
            ],
            ["word resize", "script local-bottom/set_partuuid"],
        ),
    ],
)
def test_each_layout_is_read(
    image: Image, fill: Callable[[Image], None], growth: list[str], disk_id: list[str]
) -> None:
    """All that grows an image and names its disk is found, by word, unit and script."""
    fill(image)

    assert image.jobs["growth"] == growth
    assert image.jobs["disk id"] == disk_id


@pytest.mark.parametrize("fill", [bullseye, bookworm, trixie])
def test_what_was_found_is_taken_out(image: Image, fill: Callable[[Image], None]) -> None:
    """The stage's list is what was read; after its script nothing is found any more, nor lost."""
    fill(image)
    image.put("usr/lib/raspberrypi-sys-mods/firstboot", "#!/bin/sh\n")
    program = image.root / "usr/lib/raspberrypi-sys-mods/firstboot"
    program.chmod(0o755)
    sub = CHECKOUT / "stages/raspios/00-first-start"
    found = first_start.read(image.root, image.boot)
    for made in template.render(sub / "00-templates", {"first_start": found}):
        image.put(made.name, made.text)

    run([sub / "01-run.sh"], env={"ROOTFS_DIR": str(image.root)})

    assert found.jobs != {}
    assert image.jobs == {}
    assert (image.boot / "cmdline.txt").read_text().startswith(ROOT)
    units = {one.name for one in found.doers if one.how is How.UNIT}
    masks = {
        path.name for path in (image.root / "etc/systemd/system").iterdir() if path.is_symlink()
    }
    assert masks == units
    # The word can come back, copied from another card: the initramfs takes no such program.
    assert program.stat().st_mode & 0o111 == 0


def test_what_else_an_image_of_today_does(image: Image) -> None:
    """Users, keys, settings, swap, the EEPROM and timers are found beside the growth."""
    trixie(image)

    assert {job: image.jobs[job] for job in ("user", "ssh", "swap", "EEPROM", "timers")} == {
        "user": [
            "unit cloud-init-main.service",
            "unit userconfig.service",
            "generator cloud-init-generator",
        ],
        "ssh": ["unit sshswitch.service"],
        "swap": ["generator rpi-swap-generator"],
        "EEPROM": ["unit rpi-eeprom-update.service"],
        "timers": ["unit apt-daily.timer"],
    }
    assert "file user-data" in image.jobs["settings"]


def test_what_is_masked_or_left_alone_does_nothing(image: Image) -> None:
    """A unit, a generator or cloud-init that is switched off is none of what an image does."""
    image.want("userconfig.service", "cloud-init-local.service")
    image.mask("system/userconfig.service")
    image.put("usr/lib/systemd/system-generators/rpi-swap-generator")
    image.mask("system-generators/rpi-swap-generator")
    image.put("etc/cloud/cloud-init.disabled")
    image.put("usr/lib/systemd/system/sshswitch.service")  # there, and wanted by nothing

    assert image.jobs == {}


def test_a_first_program_nobody_knows(image: Image) -> None:
    """A program that comes before systemd could do anything: it is told as unknown."""
    image.put("boot/firmware/cmdline.txt", f"{ROOT} init=/usr/lib/new/firstboot resize2=yes\n")

    assert image.jobs == {"unknown": ["word init=/usr/lib/new/firstboot"]}


def test_a_line_for_each_job(image: Image) -> None:
    """The list on the board names how, what, which job, and what does that job there."""
    image.put("boot/firmware/cmdline.txt", f"{ROOT} resize\n")

    found = first_start.read(image.root, image.boot)

    assert [line.split("\t") for line in found.lines] == [
        ["word", "resize", "growth", INSTEAD[Job.GROWTH]],
        ["word", "resize", "disk id", INSTEAD[Job.DISK_ID]],
    ]


def test_a_script_that_is_kept_out_does_nothing(image: Image) -> None:
    """What the list on the board says is replaced is not counted as something that is done."""
    image.put(f"{SCRIPTS}/local-bottom/set_partuuid")
    image.put("etc/glovebox/replaced", "# why\nscript\tlocal-bottom/set_partuuid\tdisk id\tus\n")

    assert image.jobs == {}
    assert first_start.replaced(image.root, How.SCRIPT) == {"local-bottom/set_partuuid"}


def test_each_job_that_is_known_has_something_instead() -> None:
    """Nothing is taken out of an image of which nobody says what does it in a car."""
    assert set(INSTEAD) == set(Job) - {Job.UNKNOWN}
