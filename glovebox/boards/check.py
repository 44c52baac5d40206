"""What cannot be meant on a board, or is missing there on a base: said before a build starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glovebox.boards import kernel
from glovebox.config.build import RASPIOS, KernelFrom, Network
from glovebox.config.power import PIN_WAKE, Power, Radio, Wake
from glovebox.config.problem import Caution, Problem
from glovebox.config.schema import Profile, Receiver
from glovebox.host.arch import ARCHES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.boards.boards import Board
    from glovebox.config.build import BuildConfig
    from glovebox.config.schema import Config

_TESTED_SUITE = "trixie"
_RASPIOS_SUITES = ("trixie", "bookworm")
_RASPIOS_ARCHES = frozenset({"arm64", "armhf"})
# Stages that bring what an official image has already, in its own way.
_DEBIANS_STAGES = frozenset({"base", "boot", "first-boot", "car", "disk"})
_WITH_BACKPORTS = frozenset({"bookworm", "trixie"})
# Those without any Debian release after it that is known yet.
_LATER_SUITES = frozenset({"forky", "sid"})
_PINS_CONSOLE = (14, 15)
_PINS_PULLED_UP = range(9)  # while nothing drives them
_Found = tuple[str, str, str]


def check_board(config: BuildConfig, board: Board) -> list[Problem | Caution]:
    """Say in plain words what a board lacks on base debian, and the way out."""
    if config.base != "debian":
        return list(_kernel_of_an_image(config))  # it brings its own kernel and firmware
    found: list[Problem | Caution] = []
    last = ARCHES[board.arch].last_suite
    if last and config.suite in _LATER_SUITES:
        found.append(
            Problem(
                path="board",
                what=f"'{board.name}' cannot be built on {config.suite}: Debian dropped"
                f" {board.arch} after {last}",
                cure=f"use suite {last}",
            )
        )
    elif board.on_debian is not None:
        found.append(board.on_debian)
    found += _of_its_kernel(config, board)
    found += _of_its_wifi(config, board)
    if config.suite != _TESTED_SUITE:
        found.append(_untested(config.suite))
    return found


def _kernel_of_an_image(config: BuildConfig) -> Iterator[Problem]:
    if config.kernel is not None:
        yield Problem(
            path="kernel",
            what=f"'{config.kernel}' is said, and base {config.base} brings a kernel of its own",
            cure="leave kernel: out, or write base: debian",
        )


def _of_its_kernel(config: BuildConfig, board: Board) -> Iterator[Problem]:
    if kernel.source(config, board) is KernelFrom.SUITE:
        if board.with_the_suites_kernel is not None:
            yield board.with_the_suites_kernel
        return
    if config.suite not in _WITH_BACKPORTS:
        yield Problem(
            path="kernel" if config.kernel else "suite",
            what=f"{config.suite} has no backports to take a kernel from",
            cure=f"use suite {_TESTED_SUITE}",
        )
    elif board.arch != "arm64":
        yield Problem(
            path="kernel",
            what=f"'backports': they have no {board.kernel} for {board.arch}",
            cure="leave kernel: out",
        )


def _of_its_wifi(config: BuildConfig, board: Board) -> Iterator[Problem]:
    """Refuse a board that could be reached by nothing: it would be found out in the vehicle."""
    if config.network is not Network.WIFI:
        return
    names = [one.url.rpartition("/")[2] for one in config.firmware]
    if not board.wifi_lacks or any(name.startswith(board.wifi_lacks) for name in names):
        return
    yield Problem(
        path="board",
        what=f"'{board.name}' could not be reached by Wi-Fi: most {board.title}s need the firmware"
        f" {' or '.join(board.wifi_lacks)}, which Debian does not have",
        cure="name its files under firmware:, each with url and sha256 (docs/bases.md);"
        " or say network: usb (an adapter), network: none, or base: raspios",
    )


def check_raspios(config: Config, board: Board) -> list[Problem | Caution]:
    """Say in plain words what is not built on Raspberry Pi OS yet, and what is."""
    if config.base != RASPIOS:
        return []
    found: list[Problem | Caution] = [
        Problem(path=path, what=what, cure=cure)
        for path, what, cure in (
            *_of_the_official_images(config, board),
            *_of_its_profile(config),
        )
    ]
    if config.suite in _RASPIOS_SUITES and config.suite != _TESTED_SUITE:
        found.append(_untested(config.suite))
    return found


def _untested(suite: str) -> Caution:
    return Caution(
        path="suite",
        what=f"'{suite}' is not what images are tested with",
        cure=f"use {_TESTED_SUITE}, or expect to mend a stage",
    )


def _of_the_official_images(config: Config, board: Board) -> Iterator[_Found]:
    if board.arch not in _RASPIOS_ARCHES:
        what = (
            f"'{board.name}' is not built on base raspios yet: its Raspberry Pi OS is armhf, what"
            f" is compiled for it here is {board.arch}"
        )
        yield "board", what, "use board zero-2-w, 2, 3, 4 or 5; or base: debian"
    if config.suite not in _RASPIOS_SUITES:
        suites = " or ".join(_RASPIOS_SUITES)
        what = f"'{config.suite}' is not taken from Raspberry Pi's list of images"
        yield "suite", what, f"use suite {suites}, or name an image: base: PATH.img.xz"


def _of_its_profile(config: Config) -> Iterator[_Found]:
    if config.profile is Profile.HOME:
        what = "'home' is not built on base raspios yet"
        yield "profile", what, "write base: debian, or profile: bench and stages of your own"
    if config.profile is not Profile.BENCH:
        return
    shipped = [entry.path for entry in config.stages if entry.path in _DEBIANS_STAGES]
    if shipped:
        what = (
            f"{', '.join(shipped)}: on Raspberry Pi OS they replace its own network and first boot,"
            " which profile bench leaves as they are"
        )
        yield "stages", what, "leave them out, or write profile: car"


def check_power(config: Config, board: Board) -> list[Problem]:
    """Say in plain words which settings contradict each other, the board or the rest."""
    return [
        Problem(path=f"power.{key}", what=what, cure=cure)
        for key, what, cure in (
            *_of_the_processor(config.power, board),
            *_of_the_pins(config.power, board),
            *_of_the_rest(
                config.power,
                networks=bool(config.wifi.networks),
                recorder=config.shows_state,
                car=config.car,
            ),
        )
    ]


def check_receiver(config: Config, board: Board) -> list[Problem]:
    """Say in plain words what cannot be meant about the receiver."""
    found = _of_the_receiver(config, board)
    return [Problem(path=key, what=what, cure=cure) for key, what, cure in found]


def _of_the_receiver(config: Config, board: Board) -> Iterator[_Found]:
    if config.receiver is Receiver.UART and board.model.has_rp1:
        what = "'uart': the header's port of a Pi 5 is its RP1's, which nobody has tried here"
        yield "receiver", what, "take a receiver at USB"
    pin, power = config.pps_pin, config.power
    if config.base != "debian":
        cure = "write base: debian, or set it up in a stage of yours"
        if config.receiver is Receiver.UART:
            what = "'uart' is set up on base debian alone: here the console keeps its port"
            yield "receiver", what, cure
        if pin is not None:
            yield "pps_pin", "is set up on base debian alone", cure
    if pin is None:
        return
    if not config.car:
        yield "pps_pin", "comes with profile car and its stage", "write profile: car"
    if pin in _PINS_CONSOLE:
        yield "pps_pin", f"{pin} belongs to the serial port (14, 15)", "take another, such as 18"
    taken = {power.latch_pin: "power.latch_pin", power.watched_pin: "power.off_pin"}
    if pin in taken:
        yield "pps_pin", f"{pin} is {taken[pin]} already", "take two different ones"


def _of_the_processor(power: Power, board: Board) -> Iterator[_Found]:
    has = board.processor
    if power.cores is not None and power.cores > has.cores:
        yield "cores", f"board {board.name} has {has.cores}", f"{has.cores} at most, or: all"
    if power.clock is not None and not has.slowest <= power.clock <= has.fastest:
        what = f"board {board.name} runs at {has.slowest} to {has.fastest} MHz"
        yield "clock", what, "take one of these, or: board"


def _of_the_pins(power: Power, board: Board) -> Iterator[_Found]:
    if power.wake is Wake.LATCH and power.latch_pin is None:
        yield "latch_pin", "is missing, power.wake: latch needs it", "such as latch_pin: 17"
    if power.wake is not Wake.LATCH and power.latch_pin is not None:
        yield "latch_pin", f"means nothing with power.wake: {power.wake}", "write wake: latch"
    if power.wake is Wake.GPIO and power.off_pin not in (None, PIN_WAKE):
        what = f"with power.wake: gpio the pin is {PIN_WAKE}, no other wakes a board"
        yield "off_pin", what, "leave it out, or write wake: none"
    if power.wake is Wake.IGNITION and power.off_pin is not None:
        what = "with power.wake: ignition the power is gone before anything could be asked"
        yield "off_pin", what, "leave it out, or hold the power: wake: latch"
    if power.wake is Wake.GPIO and not board.gpio_wakes:
        yield "wake", f"a {board.title} is not woken by a GPIO", "it has a button of its own"
    if power.latch_pin is not None and power.latch_pin == power.off_pin:
        yield "off_pin", f"{power.off_pin} is the latch's pin already", "take two different ones"
    for key, pin in (("latch_pin", power.latch_pin), ("off_pin", power.off_pin)):
        if pin in _PINS_CONSOLE:
            yield key, f"{pin} belongs to the serial console (14, 15)", "take another, such as 17"
    if power.latch_pin in _PINS_PULLED_UP:
        what = f"{power.latch_pin} is pulled up while nothing drives it: the latch would never open"
        yield "latch_pin", what, "take one from 9 on, such as 17"


def _of_the_rest(power: Power, *, networks: bool, recorder: bool, car: bool) -> Iterator[_Found]:
    if power.radio is Radio.OFF and networks:
        what = "'off' leaves wifi.networks without a radio"
        yield "radio", what, "write radio: standing, or leave the networks out"
    if power.off_after and power.wake in (Wake.NONE, Wake.IGNITION):
        what = f"a board that switched itself off stays off with power.wake: {power.wake}"
        yield "off_after", what, "write wake: latch or wake: gpio, or off_after: 0"
    if power.off_after and not recorder:
        what = "the recorder tells that the vehicle stands, and there is none"
        yield "off_after", what, "add the stage telematics, or write off_after: 0"
    if power.wake is not Wake.NONE and not car:
        what = "what is under power: comes with profile car and its stage"
        yield "wake", what, "write profile: car, or leave it out"
