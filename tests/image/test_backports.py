"""A kernel out of the backports, and what a Pi 5 needs of one: seen in files, on no board yet."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.card import initramfs
from glovebox.config.schema import BoardName
from glovebox.host import native
from glovebox.host.run import run

if TYPE_CHECKING:
    from pathlib import Path

    from testinfra.host import Host

    from glovebox.verify.verify import Facts

FIRMWARE = "boot/firmware"
RP1 = "usr/lib/modules/*/kernel/drivers/misc/rp1/rp1_pci.ko*"
# The way to the card (the SD host, its pins and supply), and to a USB disk: PCIe's interrupts, RP1
# with its clock, pins and USB hosts.
TO_THE_ROOT = {
    *("sdhci-brcmstb", "pinctrl-brcmstb-bcm2712", "gpio-brcmstb"),
    *("irq-bcm2712-mip", "rp1_pci", "clk-rp1", "pinctrl-rp1", "dwc3", "xhci-plat-hcd"),
    *("usb-storage", "mmc_block", "ext4"),
}


@pytest.fixture
def backports(tree: Path, facts: Facts) -> None:
    """Skip where the kernel is the suite's own."""
    if facts.base != "debian" or not list(tree.glob(RP1)):
        pytest.skip("the kernel of this image is not one of the backports")


@pytest.fixture
def pi_5(backports: None, facts: Facts) -> None:  # noqa: ARG001  it skips where it must
    """Skip where the image is for another board."""
    if facts.board != BoardName.PI_5:
        pytest.skip(f"the image is for board {facts.board}")


@pytest.fixture(scope="session")
def dtc(pytestconfig: pytest.Config) -> list[str]:
    """Give what starts the compiler of device trees: that of the native root, else the host's."""
    root = pytestconfig.getoption("native_root")
    if root is not None:
        return native.Root(tree=root).command("dtc")
    found = shutil.which("dtc")
    if found is None:
        pytest.skip("neither --native-root nor device-tree-compiler is there: no tree is read")
    return [found]


@pytest.mark.stage("boot")
@pytest.mark.level("chroot", highest="chroot")
@pytest.mark.usefixtures("pi_5")
def test_the_initramfs_holds_the_way_to_the_root(tree: Path) -> None:
    """What finds the card of a Pi 5, or a USB disk behind RP1, is loaded before there is a root."""
    (image,) = (tree / FIRMWARE).glob("initrd*")
    built_in = next(tree.glob("usr/lib/modules/*/modules.builtin")).read_text()
    names = [each.name for each in initramfs.members(image.read_bytes())]
    names += built_in.splitlines()
    there = {name.rpartition("/")[2].removesuffix(".ko") for name in names if ".ko" in name}

    assert there >= TO_THE_ROOT


@pytest.mark.level("chroot", highest="chroot")
@pytest.mark.usefixtures("pi_5")
@pytest.mark.parametrize("name", ["bcm2712-rpi-5-b.dtb", "bcm2712-d-rpi-5-b.dtb"])
def test_the_device_tree_has_the_ports(tree: Path, dtc: list[str], name: str) -> None:
    """Both USB hosts and the network port of RP1 are switched on in the trees of both steppings."""
    source = run([*dtc, "-q", "-I", "dtb", "-O", "dts", tree / FIRMWARE / name]).stdout

    for kind, ports in (("snps,dwc3", 2), ("raspberrypi,rp1-gem", 1)):
        nodes = re.findall(rf'compatible = "{kind}"[^{{}}]*', source)
        assert ['status = "okay"' in node for node in nodes] == [True] * ports, kind


@pytest.mark.stage("boot")
@pytest.mark.level("chroot", highest="chroot")
@pytest.mark.usefixtures("backports")
def test_the_serial_connector_of_a_pi_5_is_a_console(tree: Path) -> None:
    """A kernel that starts a Pi 5 talks on its connector, and on the header of other boards."""
    words = (tree / FIRMWARE / "cmdline.txt").read_text().split()

    assert [one for one in words if one.startswith("console=")] == [
        "console=ttyAMA10,115200",
        "console=ttyS1,115200",
        "console=tty0",
    ]


@pytest.mark.level("chroot", highest="chroot")
@pytest.mark.usefixtures("backports")
def test_nothing_but_the_kernel_is_from_the_backports(host: Host, facts: Facts) -> None:
    """All else is the suite's; apt on the board knows where the kernel's fixes come from."""
    told = host.check_output("dpkg-query --show --showformat '${Package} ${Version}\\n'")
    versions = dict(line.split() for line in told.splitlines())
    kernel = BOARDS[BoardName(facts.board)].kernel
    sources = host.check_output(f"cat /etc/apt/sources.list.d/{facts.suite}-backports.list")

    assert "~bpo" in versions[kernel]
    others = {name for name, version in versions.items() if "~bpo" in version}
    assert {name for name in others if not name.startswith("linux-")} == set()
    assert f" {facts.suite}-backports main" in sources
    assert len(sources.splitlines()) == 1
