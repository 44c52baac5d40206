"""The emulated board, as far as no QEMU is needed: its command line, and what it complains of."""

import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.config.schema import BoardName
from glovebox.emulator import emulator
from glovebox.emulator.emulator import (
    Boot,
    EmulatorError,
    Login,
    Machine,
    Qemu,
    card_size,
    find_qemu,
    qemu_command,
    qemu_in,
    ssh_config,
    version_of,
)
from glovebox.errors import HostError
from glovebox.host.run import start

BOOT = Boot(
    board=BOARDS[BoardName.ZERO_W],
    kernel=Path("/s/vmlinuz"),
    initramfs=Path("/s/initrd"),
    dtb=Path("/s/board.dtb"),
    cmdline="console=tty0 root=PARTUUID=1-02 cma=64M\n",
    card=Path("/f/card,1.img"),
    sockets=Path("/s"),
    serial_log=Path("/f/serial.log"),
    port=2222,
)
QEMU = Qemu(folder=Path("/q"))


def _value(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def test_writes_are_logged_where_that_is_wanted() -> None:
    """The card stays an SD card; a log of its writes lies beside it."""
    plain = qemu_command(QEMU, BOOT)
    logged = qemu_command(QEMU, replace(BOOT, writes=Path("/f/writes.log")))

    assert _value(plain, "-drive") == "if=sd,file=/f/card,,1.img,format=raw"
    told = _value(logged, "-drive").split(",")
    assert {"if=sd", "driver=blklogwrites", "log.filename=/f/writes.log"} <= set(told)
    assert "file.file.filename=/f/card,,1.img" in _value(logged, "-drive")


@pytest.mark.parametrize("name", [one.name for one in BOARDS.values() if one.qemu_machine])
def test_every_machine_of_the_table_can_be_started(name: BoardName) -> None:
    """A board with a machine has all that QEMU is started with; its kernel is heard."""
    board = BOARDS[name]
    command = qemu_command(QEMU, replace(BOOT, board=board))

    assert _value(command, "-M") == board.qemu_machine
    assert "console=ttyAMA0,115200" in _value(command, "-append").split()
    assert board.qemu_machine in emulator._START_S


def test_command_line_is_the_images_and_what_qemu_needs() -> None:
    """The image's kernel arguments stay, but those QEMU fails with, and QEMU's come after them."""
    command = qemu_command(QEMU, BOOT)

    assert command[0] == "/q/qemu-system-arm"
    assert _value(command, "-M") == "raspi0"
    assert _value(command, "-initrd") == "/s/initrd"
    arguments = _value(command, "-append").split()
    assert arguments[:2] == ["console=tty0", "root=PARTUUID=1-02"]
    assert "initcall_blacklist=bcm2835_power_driver_init" in arguments
    assert not any(each.startswith("cma=") for each in arguments)


def test_board_3_keeps_its_arguments() -> None:
    """What one machine cannot do is not taken from another one."""
    command = qemu_command(QEMU, replace(BOOT, board=BOARDS[BoardName.PI_3]))

    assert command[0] == "/q/qemu-system-aarch64"
    assert "cma=64M" in _value(command, "-append").split()
    assert "-icount" not in command


def test_nobody_else_reaches_the_board() -> None:
    """It listens on this machine's loopback only, and is cut off from the networks by default."""
    network = _value(qemu_command(QEMU, BOOT), "-netdev")

    assert network == "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22"
    assert "restrict=off" in _value(qemu_command(QEMU, replace(BOOT, outside=True)), "-netdev")


def test_without_a_network_nobody_reaches_it() -> None:
    """Nothing at all is at USB then, and no port of this machine is taken."""
    command = qemu_command(QEMU, replace(BOOT, dongle=False, network=False))

    assert "-netdev" not in command
    assert "-device" not in command


def test_a_comma_in_a_path_is_doubled() -> None:
    """QEMU would take what follows for another option."""
    assert "file=/f/card,,1.img," in _value(qemu_command(QEMU, BOOT), "-drive")


def test_without_dongle_or_initramfs_there_is_none() -> None:
    """What the caller leaves out is not on the command line."""
    command = qemu_command(QEMU, replace(BOOT, dongle=False, initramfs=None))

    assert "-initrd" not in command
    assert not any("usb-serial" in each for each in command)


def test_a_board_qemu_lacks_is_told_with_the_reason() -> None:
    """The message says why, and the hint what to do instead."""
    with pytest.raises(HostError, match=r"PCIe") as caught:
        qemu_command(QEMU, replace(BOOT, board=BOARDS[BoardName.PI_4]))
    assert "ssh:" in str(caught.value)


@pytest.mark.parametrize(
    ("size", "card"), [(1, 1), (512, 512), (513, 1024), (1149239296, 2**31), (2**31, 2**31)]
)
def test_card_size(size: int, card: int) -> None:
    """The next power of two, and none more than needed."""
    assert card_size(size) == card


def test_version() -> None:
    """The version is read as numbers, so that 10 is more than 9."""
    assert version_of("QEMU emulator version 10.0.13 (Debian …)\n") == (10, 0)
    assert version_of("nonsense") == (0, 0)


def test_qemu_of_a_root_is_called_by_that_roots_loader(tmp_path: Path) -> None:
    """Neither this host's libraries nor a chroot are needed."""
    libraries = tmp_path / "usr/lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    (libraries / "ld-linux-x86-64.so.2").touch()
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/qemu-system-aarch64").touch()

    found = qemu_in(tmp_path)

    assert found.command("arm64")[:4] == [
        str(libraries / "ld-linux-x86-64.so.2"),
        "--library-path",
        str(libraries),
        str(tmp_path / "usr/bin/qemu-system-aarch64"),
    ]
    assert found.variables == {"QEMU_MODULE_DIR": str(libraries / "qemu")}


def test_a_root_without_qemu_is_refused(tmp_path: Path) -> None:
    """The message names the folder."""
    with pytest.raises(HostError, match=str(tmp_path)):
        find_qemu(tmp_path)


def test_ssh_config_of_an_emulated_board() -> None:
    """Only the given key is offered, and no known_hosts of a person is asked or changed."""
    login = Login(user="pi", key=Path("/keys/my key"))
    told = ssh_config(host="127.0.0.1", port=2222, login=login, folder=Path("/s"), check=False)

    lines = [line.strip() for line in told.splitlines()]
    assert lines[:4] == ["Host board", "HostName 127.0.0.1", "Port 2222", "User pi"]
    assert 'IdentityFile "/keys/my key"' in lines
    assert "IdentitiesOnly yes" in lines
    assert "UserKnownHostsFile /s/known_hosts" in lines
    # Ten times what a real board gets: it may be emulated that slowly.
    assert {"ConnectTimeout 200", "ServerAliveCountMax 80"} <= set(lines)


def test_ssh_config_of_a_real_board() -> None:
    """A real board's host key is checked, and any key of the caller may open it."""
    login = Login(user="pi", key=None)
    told = ssh_config(host="glovebox.local", port=22, login=login, folder=Path("/s"), check=True)

    assert "StrictHostKeyChecking" not in told
    assert "IdentityFile" not in told
    assert "ConnectTimeout 20\n" in told


def _machine(tmp_path: Path, program: str) -> Machine:
    return Machine(
        start([sys.executable, "-c", program]),
        board=BOARDS[BoardName.ZERO_W],
        port=9,
        sockets=tmp_path,
        serial_log=tmp_path / "serial.log",
        dongle=None,
    )


def test_early_death_is_told_with_qemus_words(tmp_path: Path) -> None:
    """When QEMU ends before the board is up, its own complaint is in the error."""
    machine = _machine(tmp_path, "import sys; sys.exit('no such machine')")

    with pytest.raises(EmulatorError, match="QEMU ended with status 1: no such machine"):
        machine.wait_ssh(timeout_s=10)


@pytest.mark.parametrize(
    "word",
    [
        "Kernel panic - not syncing: VFS: Unable to mount root fs",
        "ALERT!  PARTUUID=1-02 does not exist.  Dropping to a shell!",
        "You are in emergency mode.",
    ],
)
def test_a_lost_board_is_told_at_once(tmp_path: Path, word: str) -> None:
    """Nobody waits for minutes when the console has already said that it is over."""
    machine = _machine(tmp_path, "import time; time.sleep(60)")
    (tmp_path / "serial.log").write_text(f"[    1.0] {word}\nmore\n")
    began = time.monotonic()

    try:
        with pytest.raises(EmulatorError, match=word[:20]) as caught:
            machine.wait_ssh(timeout_s=30)
    finally:
        machine.end()
    assert time.monotonic() - began < 10
    assert "| more" in str(caught.value)
    assert machine.off


def test_silence_is_told_with_the_consoles_last_words(tmp_path: Path) -> None:
    """After the time limit the error shows where the board stood, and where all of it is."""
    machine = _machine(tmp_path, "import time; time.sleep(60)")
    (tmp_path / "serial.log").write_text("[    3.2] Waiting for root device\n")

    try:
        with pytest.raises(EmulatorError, match=r"within 1 s(.|\n)*Waiting for root") as caught:
            machine.wait_ssh(timeout_s=1)
    finally:
        machine.end()
    assert "serial.log" in str(caught.value)


def test_words_of_the_console_are_waited_for(tmp_path: Path) -> None:
    """What the console said is found at once; what it never says is told after the time limit."""
    machine = _machine(tmp_path, "import time; time.sleep(60)")
    (tmp_path / "serial.log").write_text("[  OK  ] Started telematics.service\n")

    try:
        machine.wait_said(re.compile(rb"Started .*telematics"), timeout_s=0)
        with pytest.raises(EmulatorError, match=r"did not say(.|\n)*within 0 s"):
            machine.wait_said(re.compile(rb"Power down"), timeout_s=0)
    finally:
        machine.end()


def test_speed_is_that_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that took twice its time until systemd spoke is waited for twice as long; once."""
    machine = _machine(tmp_path, "import time; time.sleep(60)")
    monkeypatch.setattr(emulator, "_START_S", {machine.board.qemu_machine: 20.0})
    serial = tmp_path / "serial.log"
    serial.write_text("Begin: Loading essential drivers ... done.\n")
    try:
        machine.check()
        assert (machine.speed, machine.patience(60)) == (None, 60)

        machine._powered -= 40
        serial.write_text("Welcome to Debian GNU/Linux 13 (trixie)!\n")
        machine.check()
        machine._powered -= 40
        machine.check()
    finally:
        machine.end()

    assert machine.speed == pytest.approx(0.5, rel=0.1)
    assert machine.patience(60) == pytest.approx(120, rel=0.1)


def test_a_board_that_falls_behind_is_given_more_time(tmp_path: Path) -> None:
    """Its clock tells that the host became busy after its start; the slowest time counts."""
    machine = _machine(tmp_path, "")
    machine.end()

    for powered_s, uptime_s, waited_s in (
        (100, 100, 60),  # it keeps time
        (104, 100.2, 60),  # too soon after to tell
        (140, 110, 240),  # ten seconds of forty
        (180, 150, 240),  # it keeps time again, and may again not
        (380, 150, 600),  # it stands still, and is not waited for for ever
    ):
        machine._powered = time.monotonic() - powered_s
        machine.note_clock(uptime_s)
        assert machine.patience(60) == pytest.approx(waited_s, rel=0.02)


def test_a_command_on_a_slow_board_has_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs on the board, and what it is waited for, have bounds that grow together."""
    machine = _machine(tmp_path, "import time; time.sleep(60)")
    asked: list[list[str]] = []
    monkeypatch.setattr(emulator, "run", lambda command, **_: asked.append(command))
    machine._slowest = 0.5
    try:
        machine.ssh("true")
        with pytest.raises(EmulatorError, match="within 2 s"):
            machine.wait_said(re.compile(rb"never"), timeout_s=1)
    finally:
        machine.end()

    assert asked[0][:3] == ["timeout", str(2 * emulator.COMMAND_TIMEOUT_S), "ssh"]


def test_a_fast_machine_is_given_no_less_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound is never below what it says: only its emulation may be fast, not its clock."""
    machine = _machine(tmp_path, "import time; time.sleep(60)")
    monkeypatch.setattr(emulator, "_START_S", {machine.board.qemu_machine: 2000.0})
    (tmp_path / "serial.log").write_text("Welcome to Debian GNU/Linux 13 (trixie)!\n")
    try:
        machine.check()
    finally:
        machine.end()

    assert machine.speed is not None
    assert machine.speed > 1
    assert machine.patience(60) == 60


def test_power_down_is_no_early_death(tmp_path: Path) -> None:
    """QEMU may end by itself once the kernel has said its last word."""
    machine = _machine(tmp_path, "")
    (tmp_path / "serial.log").write_text("[   99.0] reboot: Power down\n")
    machine.end()

    machine.check()

    assert machine.powered_down()


def test_instructions_are_counted_on_one_board_only(tmp_path: Path) -> None:
    """A figure of a board whose QEMU does not count would be none."""
    machine = _machine(tmp_path, "")
    machine.board = BOARDS[BoardName.PI_3]

    assert machine.instructions() is None
    machine.end()


def test_every_emulated_board_has_its_settings() -> None:
    """A board that names a machine of QEMU can be started."""
    for board in BOARDS.values():
        if board.qemu_machine is not None:
            assert qemu_command(QEMU, replace(BOOT, board=board))


def test_a_free_port_is_free() -> None:
    """The port can be bound by somebody else right away."""
    assert 1024 <= emulator._free_port() < 65536


# Writes down what it is asked to join.
FAKE_FDTOVERLAY = (
    '#!/bin/sh -e\ntarget=$4\nshift 4\nfor each; do basename "$each"; done >"$target"\n'
)


@pytest.mark.parametrize("dtb", ["bcm2837-rpi-3-b.dtb", "bcm2710-rpi-3-b.dtb"])
@pytest.mark.parametrize(
    ("config", "made"),
    [
        ("dtoverlay=b\n[pi4]\ndtoverlay=c\n[pi3]\ndtoverlay=a\n", "b.dtbo\na.dtbo\n"),
        ("[pi4]\ndtoverlay=c\n", "the tree"),
    ],
)
def test_a_board_starts_with_what_its_overlays_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, made: str, dtb: str
) -> None:
    """QEMU gets the device tree with the overlays that config.txt has for this very board.

    Debian's kernel has another name for the tree than Raspberry Pi's: it is the one that is there.
    """
    (tmp_path / "config.txt").write_text(config)
    board = BOARDS[BoardName.PI_3]
    (tmp_path / "fdtoverlay").write_text(FAKE_FDTOVERLAY)
    (tmp_path / "fdtoverlay").chmod(0o755)

    def copy_out(_image: Path, name: str, target: Path) -> Path:
        assert name == dtb or name.startswith("overlays/")
        target.write_text("the tree" if name == dtb else "overlay")
        return target

    monkeypatch.setattr(emulator.card, "names", lambda _: {"config.txt", dtb})
    monkeypatch.setattr(emulator.card, "copy_out", copy_out)
    found = emulator._device_tree(
        tmp_path / "card.img", board, qemu=Qemu(folder=tmp_path), folder=tmp_path
    )

    assert found.read_text() == made
