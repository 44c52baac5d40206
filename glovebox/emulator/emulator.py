"""A board in QEMU, booted from an image the way its own boot partition says.

The image is never written: the board gets a copy. What stands here as a constant with a reason is
what only QEMU needs; everything else is read from the image. QEMU starts the kernel itself, with
the device tree as config.txt's overlays make it; what the firmware itself does is not proven here.
"""

from __future__ import annotations

import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Mapping  # noqa: TC003  a dataclass field's hint
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from glovebox.boards import firmware
from glovebox.card import table as card
from glovebox.emulator import devicetree, qmp, writes
from glovebox.emulator.dongle import Dongle, plugged
from glovebox.errors import GloveboxError, HostError, VerifyError
from glovebox.host.arch import ARCHES
from glovebox.host.run import PATH, CommandError, end, environment, run, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from glovebox.boards.boards import Board

QEMU_OLDEST = (10, 0)  # the first with USB on these boards as it is used here
BOOT_TIMEOUT_S = 600  # a Zero W takes 80 s on two idle cores
POWEROFF_TIMEOUT_S = 300
END_TIMEOUT_S = 10
BANNER_TIMEOUT_S = 20
LOGIN_TIMEOUT_S = 120  # the key exchange alone takes an emulated ARMv6 several seconds
COMMAND_TIMEOUT_S = 600
POLL_S = 0.5
CLOCK_S = 10  # clocks that are read less apart tell too little
SLOWEST = 0.1  # of the board's speed: below that nobody waits for the end of all tests anyway
CMDLINE = "cmdline.txt"
CARD = "card.img"  # an emulated board's copy of the image, while it runs
WRITES = "writes.log"
CONTROL = "control"
PORT_TRIES = 5
SERIAL_TAIL = 25

# Kernel arguments by machine, for reasons that only QEMU has.
_ARGUMENTS = {
    "raspi0": (
        "earlycon=pl011,mmio32,0x20201000",
        "console=ttyAMA0,115200",  # the PL011 is QEMU's first serial port
        "systemd.show_status=1",  # a console costs nothing here, and tells where a start got to
        # QEMU has no power domains; the kernel panics in bcm2835_power_probe without them.
        "initcall_blacklist=bcm2835_power_driver_init",
    ),
    "raspi2b": (
        "earlycon=pl011,mmio32,0x3f201000",
        "console=ttyAMA0,115200",
        "systemd.show_status=1",
    ),
    "raspi3b": (
        "earlycon=pl011,mmio32,0x3f201000",
        "console=ttyAMA0,115200",
        "systemd.show_status=1",
    ),
}
# Kernel arguments of the image that QEMU's machine does not start with.
_DROPPED = {
    # The kernel says "cma: Reserved 64 MiB" and then nothing any more, on QEMU 10.0.
    "raspi0": ("cma=",),
    "raspi2b": (),
    "raspi3b": (),
}
# Options by machine, for reasons that only QEMU has.
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    # One early boot stalled for minutes. Our reading, not proven: the kernel sets this chip's timer
    # to "15 us from now"; where the host takes the processor away just then, the moment has passed
    # and the next one is 71 minutes later. With time counted in instructions (8 ns each) no moment
    # can pass.
    "raspi0": ("-icount", "shift=3,sleep=on"),
    "raspi2b": (),
    "raspi3b": (),
}

# Seconds of a board from power to systemd's first word. Where QEMU counts time in instructions the
# board's own clock told them, on two idle cores of an Intel Xeon. The other board's clock is the
# host's: there they are about what such cores take, so a faster machine shows a speed above 1.
# A Pi 2 was not asked: its processor is emulated as a Pi 3's is.
_START_S = {"raspi0": 28.0, "raspi2b": 20.0, "raspi3b": 20.0}
_SYSTEMD = re.compile(rb"Welcome to ")

_POWERED_DOWN = re.compile(rb"reboot: (Power down|System halted)")
# systemd tells of its units unless told to be quiet; the login prompt is there in any case.
_LISTENS = re.compile(rb"Started .*ssh\.service|login: ")
_LOST = (
    re.compile(rb"Kernel panic - not syncing.*"),
    re.compile(rb"ALERT!.*does not exist.*"),  # initramfs-tools: the root partition is not there
    re.compile(rb"You are in emergency mode.*"),
)


class EmulatorError(VerifyError):
    """The emulated board did not start, or fell over."""


@dataclass(frozen=True, kw_only=True)
class Qemu:
    """How QEMU is called: the host's own, or one in a native root, by that root's own loader."""

    folder: Path
    prefix: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def command(self, arch: str) -> list[str]:
        """Give the beginning of a command line that emulates a board of this architecture."""
        return [*self.prefix, str(self.folder / ARCHES[arch].qemu_system), *self.options]

    @property
    def fdtoverlay(self) -> list[str]:
        """Give the words that start the program which applies overlays."""
        return [*self.prefix, str(self.folder / "fdtoverlay")]


@dataclass(frozen=True, kw_only=True)
class Login:
    """Who logs in to a board, and with which private key."""

    user: str
    key: Path | None


def find_qemu(root: Path | None = None) -> Qemu:
    """Take QEMU from a native root if one is given, else the host's own if it is new enough."""
    if root is not None:
        return qemu_in(root)
    for folder in map(Path, PATH.split(":")):
        if (folder / ARCHES["arm64"].qemu_system).exists():
            found = Qemu(folder=folder)
            told = run([*found.command("arm64"), "--version"]).stdout
            if version_of(told) >= QEMU_OLDEST:
                return found
            break
    wanted = ".".join(map(str, QEMU_OLDEST))
    message = f"this host has no QEMU {wanted} or newer that emulates boards"
    raise HostError(message, hint="run: ./invoke setup, or apt-get install qemu-system-arm")


def qemu_in(root: Path) -> Qemu:
    """Call the QEMU of a native Debian root without changing the root, so that paths stay ours."""
    loaders = sorted(root.glob("usr/lib/*/ld-linux-*.so.*"))
    if not loaders or not (root / "usr/bin" / ARCHES["arm64"].qemu_system).exists():
        message = f"{root} is no Debian root with qemu-system-arm"
        raise HostError(message, hint="run: ./invoke clean --all, then ./invoke setup")
    loader = loaders[0]
    # The loader's own path holds the architecture's triplet.
    return Qemu(
        folder=root / "usr/bin",
        prefix=(str(loader), "--library-path", str(loader.parent)),
        options=("-L", str(root / "usr/share/qemu")),
        variables={"QEMU_MODULE_DIR": str(loader.parent / "qemu")},
    )


def version_of(told: str) -> tuple[int, ...]:
    """Read what ``--version`` prints."""
    found = re.search(r"version (\d+)\.(\d+)", told)
    return tuple(map(int, found.groups())) if found else (0, 0)


@dataclass(frozen=True, kw_only=True)
class Boot:
    """Everything a QEMU command line is made of."""

    board: Board
    kernel: Path
    initramfs: Path | None
    dtb: Path
    cmdline: str
    card: Path
    sockets: Path
    serial_log: Path
    port: int
    dongle: bool = True
    network: bool = True
    outside: bool = False
    writes: Path | None = None


def qemu_command(qemu: Qemu, boot: Boot) -> list[str]:
    """Put the command line together."""
    machine = boot.board.qemu_machine
    if machine is None:
        raise HostError(
            f"a {boot.board.title} cannot be emulated: {boot.board.no_qemu}",
            hint="./invoke verify --target ssh:HOST on a real one",
        )
    kept = [each for each in boot.cmdline.split() if not each.startswith(_DROPPED[machine])]
    arguments = " ".join([*kept, *_ARGUMENTS[machine]])
    console = f"socket,id=console,path={_comma(boot.sockets / 'console')},server=on,wait=off"
    command = [
        *qemu.command(boot.board.arch),
        "-M", machine, *_OPTIONS[machine], "-display", "none", "-monitor", "none", "-no-reboot",
        "-kernel", str(boot.kernel), "-dtb", str(boot.dtb), "-append", arguments,
        "-drive", f"if=sd,{_card(boot)}",
        "-chardev", f"{console},logfile={_comma(boot.serial_log)},logappend=off",
        "-serial", "chardev:console",
        "-usb",
        "-qmp", f"unix:{_comma(boot.sockets / CONTROL)},server=on,wait=off",
    ]  # fmt: skip
    if boot.initramfs is not None:
        command += ["-initrd", str(boot.initramfs)]
    if boot.network:
        restrict = "off" if boot.outside else "on"
        forward = f"hostfwd=tcp:127.0.0.1:{boot.port}-:22"
        command += [
            "-netdev", f"user,id=net,restrict={restrict},{forward}",
            "-device", "usb-net,netdev=net",
        ]  # fmt: skip
    if boot.dongle:
        # wait=on: the dongle is plugged in before the board gets power.
        command += [
            "-chardev", f"socket,id=gps,path={_comma(boot.sockets / 'gps')},server=on,wait=on",
            "-device", "usb-serial,chardev=gps",
        ]  # fmt: skip
    return command


def ssh_config(*, host: str, port: int, login: Login, folder: Path, check: bool) -> str:
    """Write the ssh configuration that reaches a board under the name ``board``, and only it.

    ``check``: ask the caller's own known_hosts. An emulated board makes its keys when it boots, and
    is reached through this very process; it is known to be there, and may be slow to answer.
    """
    slow = 1 if check else round(1 / SLOWEST)
    lines = [
        "Host board",
        f"HostName {host}",
        f"Port {port}",
        f"User {login.user}",
        "BatchMode yes",
        f"ConnectTimeout {BANNER_TIMEOUT_S * slow}",  # the exchange of keys counts too
        "ServerAliveInterval 15",
        # A minute of silence is normal while the emulated board computes.
        f"ServerAliveCountMax {8 * slow}",
        f"ControlPath {folder}/master",
        "LogLevel ERROR",
    ]
    if login.key is not None:
        lines += [f'IdentityFile "{login.key}"', "IdentitiesOnly yes"]
    if not check:
        lines += ["StrictHostKeyChecking no", f"UserKnownHostsFile {folder}/known_hosts"]
    return "\n    ".join(lines) + "\n"


class Machine:
    """A running board."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        board: Board,
        port: int,
        sockets: Path,
        serial_log: Path,
        dongle: Dongle | None,
    ) -> None:
        """Take over a started QEMU; ``boot`` makes machines."""
        self.board = board
        self.port = port
        self.serial_log = serial_log
        self.dongle = dongle
        self._control = sockets / CONTROL
        self.console = sockets / "console"  # a unix socket: the serial console, to type at
        self.ssh_config = sockets / "ssh_config"
        self._process = process
        self._powered = time.monotonic()
        self._speed: float | None = None
        self._clock = (0.0, 0.0)  # when it was last looked at: by the host's clock, by the board's
        self._slowest = 1.0
        self._said: list[str] = []
        self._master: subprocess.Popen[bytes] | None = None
        # Read all along: a full pipe would stop QEMU.
        self._reader = threading.Thread(target=self._read, name="qemu", daemon=True)
        self._reader.start()

    @property
    def speed(self) -> float | None:
        """Give the board's seconds per second of the host, as its start has shown; None before."""
        return self._speed

    @property
    def powered_s(self) -> float:
        """Give how long it has had power, by the host's clock."""
        return time.monotonic() - self._powered

    def patience(self, seconds: float) -> float:
        """Give how long to wait for what takes a board that keeps time so many seconds."""
        return seconds / max(min(self._speed or 1.0, self._slowest), SLOWEST)

    def note_clock(self, uptime_s: float) -> None:
        """Take note of how long the board has run by its own clock: it may have become slower.

        Where QEMU counts time in instructions, that clock falls behind when the host is busy.
        """
        then, before = self._clock
        now = self.powered_s
        if now - then >= CLOCK_S:
            self._clock = (now, uptime_s)
            self._slowest = min(self._slowest, (uptime_s - before) / (now - then))

    def wait_ssh(self, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Wait until somebody can log in; tell at once when that will never be."""
        began = time.monotonic()
        while time.monotonic() < began + self.patience(timeout_s):
            self.check()
            if self._listens() and self._banner():
                break
            time.sleep(POLL_S)
        else:
            raise self._error(f"nobody could log in within {self.patience(timeout_s):.0f} s")
        self._log_in()

    def wait_said(self, words: re.Pattern[bytes], timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Wait until the console says so."""
        began = time.monotonic()
        while not words.search(self._serial()):
            self.check()
            if time.monotonic() > began + self.patience(timeout_s):
                bound_s = self.patience(timeout_s)
                raise self._error(f"it did not say {words.pattern!r} within {bound_s:.0f} s")
            time.sleep(POLL_S)

    def ssh(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the board as the first user."""
        self.check()
        seconds = round(self.patience(COMMAND_TIMEOUT_S))
        try:
            return run(
                ["timeout", str(seconds), "ssh", "-F", self.ssh_config, "board", command],
                check=check,
            )
        except CommandError as error:
            raise self._error(f"on the board: {command}\n{error}") from error

    def poweroff(self, timeout_s: float = POWEROFF_TIMEOUT_S) -> None:
        """Shut down cleanly, and wait until the kernel says that it is done."""
        # --no-block: the answer may not come back any more.
        self.ssh("sudo -n systemctl --no-block poweroff", check=False)
        until = time.monotonic() + self.patience(timeout_s)
        while time.monotonic() < until:
            # QEMU may end by itself, or go on with a halted board: both are known.
            if self.powered_down():
                self.end()
                return
            self.check()
            time.sleep(POLL_S)
        bound_s = self.patience(timeout_s)
        raise self._error(f"the board did not power down within {bound_s:.0f} s")

    @property
    def off(self) -> bool:
        """Tell whether QEMU has ended."""
        return self._process.poll() is not None

    @property
    def answers(self) -> bool:
        """Tell whether the connection is open that all commands share."""
        return self._master is not None and self._master.poll() is None

    def cpu_s(self) -> float:
        """Give the processor time that QEMU took so far, in seconds."""
        words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(words[11]) + int(words[12])  # utime and stime, see proc(5)
        return ticks / os.sysconf("SC_CLK_TCK")

    def instructions(self) -> int | None:
        """Give how many instructions the board has executed; QEMU counts them with -icount only."""
        if "-icount" not in _OPTIONS[self.board.qemu_machine or ""]:
            return None
        count: int = qmp.ask(self._control, "query-replay")["icount"]
        return count

    def powered_down(self) -> bool:
        """Tell whether the kernel has said its last word."""
        return _POWERED_DOWN.search(self._serial()) is not None

    def check(self) -> None:
        """Raise EmulatorError if QEMU ended or the board can get no further."""
        serial = self._serial()
        if self._speed is None and _SYSTEMD.search(serial):
            self._speed = _START_S[self.board.qemu_machine or ""] / self.powered_s
        for sign in _LOST:
            found = sign.search(serial)
            if found:
                raise self._error(f"the board gave up: {found[0].decode(errors='replace').strip()}")
        if self._process.poll() is not None and not self.powered_down():
            self._reader.join(END_TIMEOUT_S)
            said = "\n".join(self._said[-SERIAL_TAIL:]) or "it said nothing"
            status = self._process.returncode
            raise self._error(f"QEMU ended with status {status}: {said}")

    def end(self) -> None:
        """Cut the power."""
        for process in (self._master, self._process):
            if process is not None:
                end(process, grace_s=END_TIMEOUT_S)

    def _listens(self) -> bool:
        """Tell by the console whether to try.

        QEMU accepts any connection, and while nobody inside answers one it spins, which makes the
        boot several times slower.
        """
        return _LISTENS.search(self._serial()) is not None

    def _banner(self) -> bool:
        """Ask for sshd's first line."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), BANNER_TIMEOUT_S) as link:
                link.settimeout(self.patience(BANNER_TIMEOUT_S))
                return link.recv(4) == b"SSH-"
        except OSError:
            return False

    def _log_in(self) -> None:
        """Keep one connection open that all commands share: a handshake takes seconds."""
        self._master = start(["ssh", "-F", self.ssh_config, "-M", "-N", "board"])
        until = time.monotonic() + self.patience(LOGIN_TIMEOUT_S)
        asked = ["ssh", "-F", str(self.ssh_config), "-O", "check", "board"]
        while run(asked, check=False).returncode != 0:
            self.check()
            if self._master.poll() is not None:
                output = self._master.stdout
                said = output.read().decode(errors="replace").strip() if output else ""
                raise self._error(f"the board refused the login: {said}")
            if time.monotonic() > until:
                raise self._error(f"the login took over {self.patience(LOGIN_TIMEOUT_S):.0f} s")
            time.sleep(POLL_S)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._said.append(line.decode(errors="replace").rstrip())

    def _serial(self) -> bytes:
        return self.serial_log.read_bytes() if self.serial_log.exists() else b""

    def _error(self, what: str) -> EmulatorError:
        lines = self._serial().decode(errors="replace").splitlines()[-SERIAL_TAIL:]
        console = "\n".join(f"  | {line.rstrip()}" for line in lines) or "  | (nothing)"
        return EmulatorError(
            f"{self.board.title} in QEMU: {what}\nits console said last:\n{console}",
            hint=f"all of it: {self.serial_log}",
        )


@contextmanager
def boot(  # noqa: PLR0913  each is a choice of its own
    image: Path,
    board: Board,
    *,
    qemu: Qemu,
    login: Login,
    folder: Path,
    dongle: bool = True,
    network: bool = True,
    outside: bool = False,
    put: Mapping[str, bytes] = MappingProxyType({}),
    writes_log: bool = False,
) -> Iterator[Machine]:
    """Give power to a board with a copy of the image; it is off when the block ends.

    ``folder`` keeps ``serial.log`` and holds the copy meanwhile, as ``card.img``. ``outside``: let
    the board reach the networks this host reaches; otherwise only we reach it, and without
    ``network`` nobody. ``put``: files for the copy's boot partition. ``writes_log``: keep
    ``writes.log`` too, of all that is written to the card, for `glovebox.writes`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # Sockets have short names only (107 bytes), so not in a folder of the caller's choice.
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="glovebox-")))
        plan = _prepare(image, board, qemu=qemu, folder=folder, sockets=sockets)
        plan = replace(plan, dongle=dongle, network=network, outside=outside)
        stack.callback(plan.card.unlink)
        for name, content in put.items():
            (sockets / "put").write_bytes(content)
            card.copy_in(plan.card, sockets / "put", name)
        # As the firmware would: from the card, whatever was put there.
        card.copy_out(plan.card, CMDLINE, sockets / CMDLINE)
        plan = replace(plan, cmdline=(sockets / CMDLINE).read_text())
        if writes_log:
            plan = replace(plan, writes=folder / WRITES)
            (folder / WRITES).write_bytes(b"")
        receiver = stack.enter_context(plugged(sockets / "gps")) if dongle else None
        machine = _start(qemu, plan, receiver)
        # Ends before the dongle is unplugged: QEMU 10.0 falls over when it goes first.
        stack.callback(machine.end)
        machine.ssh_config.write_text(
            ssh_config(
                host="127.0.0.1", port=machine.port, login=login, folder=sockets, check=False
            )
        )
        yield machine


def _prepare(image: Path, board: Board, *, qemu: Qemu, folder: Path, sockets: Path) -> Boot:
    """Copy the card, and take from its boot partition what the firmware would."""
    for name in ("config.txt", CMDLINE):
        card.copy_out(image, name, sockets / name)
    begin = card.start_of((sockets / "config.txt").read_text(), board)
    for name in filter(None, (begin.kernel, begin.initramfs)):
        card.copy_out(image, name, sockets / name)
    copy = folder / CARD
    run(["cp", "--reflink=auto", "--sparse=always", "--", image, copy])
    os.truncate(copy, card_size(copy.stat().st_size))
    return Boot(
        board=board,
        kernel=sockets / begin.kernel,
        initramfs=sockets / begin.initramfs if begin.initramfs else None,
        dtb=_device_tree(image, board, qemu=qemu, folder=sockets),
        cmdline=(sockets / CMDLINE).read_text(),
        card=copy,
        sockets=sockets,
        serial_log=folder / "serial.log",
        port=0,
    )


def _device_tree(image: Path, board: Board, *, qemu: Qemu, folder: Path) -> Path:
    """Give the board's device tree as the firmware would hand it to the kernel."""
    text = (folder / "config.txt").read_text()
    reading = firmware.read(text, board.model)
    # Raspberry Pi's kernel calls it otherwise than Debian's.
    name = firmware.judge(reading, board.model, card.names(image)).dtb or board.dtb
    dtb = card.copy_out(image, name, folder / Path(name).name)
    for one in devicetree.overlays(reading):
        (folder / one.file).parent.mkdir(exist_ok=True)
        card.copy_out(image, one.file, folder / one.file)
    made = folder / "overlaid.dtb"
    return devicetree.apply(dtb, folder, made, reading=reading, by=qemu.fdtoverlay)


def card_size(image: int) -> int:
    """Give the size of the card for an image: QEMU's cards have a power of two of bytes."""
    return 1 << (image - 1).bit_length()


def _start(qemu: Qemu, plan: Boot, receiver: Dongle | None) -> Machine:
    """Start QEMU on a free port; another program may take the port first, so try again."""
    for _ in range(PORT_TRIES):
        chosen = replace(plan, port=_free_port())
        plan.serial_log.write_bytes(b"")
        machine = Machine(
            # A killed verification takes its board along.
            start(
                ["setpriv", "--pdeathsig", "KILL", "--", *qemu_command(qemu, chosen)],
                env=environment(qemu.variables),
            ),
            board=plan.board,
            port=chosen.port,
            sockets=plan.sockets,
            serial_log=plan.serial_log,
            dongle=receiver,
        )
        if not _port_taken(machine):
            return machine
        (plan.sockets / "console").unlink(missing_ok=True)
    raise EmulatorError("no port of this host stayed free for the emulated board")


def _port_taken(machine: Machine) -> bool:
    """Wait until QEMU listens, or ended because it could not."""
    until = time.monotonic() + BANNER_TIMEOUT_S
    while time.monotonic() < until:
        try:
            machine.check()
        except EmulatorError as error:
            if "Could not set up host forwarding rule" in str(error):
                return True
            raise
        if machine.console.exists():
            return False
        time.sleep(POLL_S)
    raise GloveboxError("QEMU did not open its console")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _card(boot: Boot) -> str:
    """Give the options of the card: a file, and a log of what is written to it if one is wanted."""
    if boot.writes is None:
        return f"file={_comma(boot.card)},format=raw"
    return writes.drive(_comma(boot.card), _comma(boot.writes))


def _comma(path: Path) -> str:
    """Write a path as QEMU's options want it: a comma is doubled."""
    return str(path).replace(",", ",,")
