"""Power: what image.yaml leaves off is off, as far as it can be seen; a meter sees the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pytest

from glovebox.boards import firmware
from glovebox.boards.boards import BOARDS
from glovebox.config.build import RASPIOS
from glovebox.config.schema import BoardName
from glovebox.emulator import devicetree
from glovebox.verify.verify import Level, Target
from tests.image.drives import under_way
from tests.image.standing import patience
from tests.image.waiting import EVENT_S, until

if TYPE_CHECKING:
    from testinfra.host import Host

    from glovebox.emulator.emulator import Machine
    from glovebox.verify.verify import Facts

pytestmark = pytest.mark.stage("car")

MILLISECOND = 1e-3
# How fine timers are, by clock_getres(2), and how fine a clock is to read: the least of its steps.
FINE = """
from time import CLOCK_MONOTONIC, clock_getres, monotonic
read = [monotonic() for _ in range(1000)]
print(clock_getres(CLOCK_MONOTONIC), min(b - a for a, b in zip(read, read[1:]) if b > a))
"""
TICKS_ALWAYS = "grep -qs '^CONFIG_HZ_PERIODIC=y' /boot/config-*"

CONFIG = "/boot/firmware/config.txt"
DRIVERS = {
    "hdmi": ("vc4", "v3d"),
    "bluetooth": ("hci_uart", "btbcm", "bluetooth"),
    "audio": ("snd_bcm2835",),
    "camera": ("bcm2835_v4l2",),
}
LED = "/sys/class/leds/ACT"
BLUETOOTH = "/proc/device-tree/soc/serial@7e201000/bluetooth/status"
# Milliseconds on and off, as docs/car.md tells the owner.
# So often a board gets to show something while its recorder says nothing new.
TIMES = 5
CODES = {
    "driving": ("40", "2960"),
    "standing": ("40", "2960"),
    "no-fix": ("500", "500"),
    "trouble": ("80", "250"),
    "unheard": ("2960", "40"),
    "mistake": ("2000", "2000"),
}
NO_LED = "QEMU's machine has no ACT LED: it hangs at the firmware's GPIO expander"
SHOWN = f"""
echo word=$(cat /run/telematics/state)
echo file=$(stat --format '%i %Z' /run/telematics/state)
echo beside=$([ -e /run/glovebox/card-mistake ] && echo mistake; cat /run/telematics-publish/state)
echo led=$(cat {LED}/delay_on {LED}/delay_off)
radios=$(grep -l wlan /sys/class/rfkill/*/type)
echo radios=$(for each in $radios; do cat "${{each%type}}soft"; done)
"""
# Nobody asks for a look at the state, and nobody looks.
NO_NEWS = "! test -e /run/glovebox/state/ask && ! systemctl is-active glovebox-state.service"
KILL = f"""
systemctl kill --signal=KILL telematics.service
until [ "$(cat {LED}/delay_on)" = 80 ]; do sleep 0.1; done
"""


@pytest.fixture
def power(facts: Facts) -> dict[str, object]:
    """Give the settings."""
    return dict(facts.power or {})


@pytest.fixture
def follows(facts: Facts, power: dict[str, object]) -> bool:
    """Tell whether anything on this board follows the recorder's state."""
    asked = power["led"] == "codes" or power["radio"] == "standing" or power["off_after"]
    return bool(asked) and "telematics" in facts.stages


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The recorder's word, and what shows it."""

    word: str  # empty: none yet
    told_at: str  # which file it stands in: another one each time
    beside: tuple[str, ...]  # what the card and the publisher say, that comes first
    led: tuple[str, ...]  # milliseconds on and off; empty where it does not blink
    radios: set[str]  # 1: blocked

    @classmethod
    def on(cls, host: Host) -> Self:
        """Ask for all of it at once: each question takes an emulated board a second."""
        told = dict(line.partition("=")[::2] for line in host.run(SHOWN).stdout.splitlines())
        return cls(
            word=told["word"],
            told_at=told["file"],
            beside=tuple(told["beside"].split()),
            led=tuple(told["led"].split()),
            radios=set(told["radios"].split()),
        )

    @property
    def led_is_right(self) -> bool:
        """Tell whether the LED has the code of the word, or of what comes before it."""
        before = [each for each in self.beside if each in CODES and self.word != "trouble"]
        return self.led == CODES.get((before or [self.word])[0])


def left_off(power: dict[str, object]) -> list[str]:
    """Give the drivers that this image leaves out."""
    radio = ["brcmfmac"] if power["radio"] == "off" else []
    return [
        each for name, drivers in DRIVERS.items() if not power[name] for each in drivers
    ] + radio


@pytest.mark.level("chroot", highest="chroot")
def test_drivers_are_not_loaded_by_themselves(own: Host, power: dict[str, object]) -> None:
    """What udev asks modprobe for is refused for these, and not for others."""
    version = own.check_output("ls /usr/lib/modules")
    ask = "modprobe --use-blacklist --dry-run --verbose --ignore-install --set-version %s %s"

    assert own.run(ask, version, "leds-gpio").stdout != "", "nothing would be loaded at all"
    assert {each: own.run(ask, version, each).stdout for each in left_off(power)} == dict.fromkeys(
        left_off(power), ""
    )


@pytest.mark.level("emulated")
def test_drivers_are_not_loaded(host: Host, power: dict[str, object]) -> None:
    """None of them is in the running kernel."""
    loaded = {line.split()[0] for line in host.check_output("cat /proc/modules").splitlines()}

    assert loaded & set(left_off(power)) == set()


@pytest.mark.level("chroot")
def test_what_the_firmware_is_told(host: Host, facts: Facts, power: dict[str, object]) -> None:
    """HDMI, memory, clock, pins and overlays stand in config.txt, as this board reads it."""
    if facts.base not in ("debian", RASPIOS):
        pytest.skip("an image as base has lines of its own")
    model = BOARDS[BoardName(facts.board)].model
    reading = firmware.read(host.check_output(f"cat {CONFIG}"), model)
    wanted = {
        "hdmi_ignore_hotplug": None if power["hdmi"] else "1",
        "max_framebuffers": None if power["hdmi"] else "0",
        "gpu_mem": None if power["hdmi"] or power["camera"] else "16",
        "arm_freq": str(power["clock"]) if power["clock"] else None,
    }
    latch = power["latch_pin"]
    debian = facts.base == "debian"
    pin = 3 if power["wake"] == "gpio" else power["off_pin"]
    folder = "pi5/" if model.has_rp1 else ""
    overlays = {
        f"{folder}glovebox-card": debian and not model.has_rp1,
        f"{folder}glovebox-no-bluetooth": debian and not power["bluetooth"],
        f"{folder}glovebox-latch": bool(latch),
        f"{folder}glovebox-wake": power["wake"] == "gpio",
        # Raspberry Pi's own, which its device trees have parameters for.
        "disable-bt": not debian and not power["bluetooth"],
        "gpio-shutdown": not debian and pin is not None,
        "vc4-kms-v3d": not debian and bool(power["hdmi"]),
    }
    parameters = {
        "dtparam=sd_poll_once=on": not debian,
        "dtparam=audio=off": not debian and not power["audio"],
    }

    assert {key: reading.values.get(key) for key in wanted} == wanted
    assert [line for line in reading.orders if line.startswith("gpio=")] == (
        [f"gpio={latch}=op,dh"] if latch else []
    )
    asked = {one.file for one in devicetree.overlays(reading)}
    ours = {f"overlays/{name}.dtbo" for name in overlays}
    assert asked & ours == {f"overlays/{name}.dtbo" for name, wanted in overlays.items() if wanted}
    assert asked <= ours or not debian
    # Of a parameter given twice the last one counts.
    last = {line.rpartition("=")[0]: line for line in reading.orders}
    assert {line for line in parameters if line in last.values()} == {
        line for line, wanted in parameters.items() if wanted
    }


@pytest.mark.level("chroot")
def test_what_the_kernel_is_told(host: Host, power: dict[str, object]) -> None:
    """How many processors to start and who chooses the clock, and how fine its timers are."""
    words = host.check_output("cat /boot/firmware/cmdline.txt").split()
    told = dict(word.split("=", 1) for word in words if "=" in word)

    assert told.get("psi") == "0"
    assert told.get("highres") == ("off" if host.run(TICKS_ALWAYS).succeeded else None)
    assert told.get("maxcpus") == (str(power["cores"]) if power["cores"] else None)
    assert told.get("cpufreq.default_governor") == power["governor"]


@pytest.mark.level("chroot")
def test_wifi_sleeps_between_beacons(own: Host, power: dict[str, object]) -> None:
    """NetworkManager reads the setting: 3 is on, 2 is off."""
    told = own.check_output("NetworkManager --print-config")

    assert f"wifi.powersave={3 if power['wifi_save'] else 2}" in told.splitlines()


@pytest.mark.level("emulated")
def test_the_device_tree_is_the_overlaid_one(
    host: Host, facts: Facts, power: dict[str, object]
) -> None:
    """The board has booted with what config.txt's overlays make of its device tree."""
    if facts.base == RASPIOS:
        pytest.skip(
            "what Raspberry Pi's own overlays change is theirs; those of stand-ins are empty"
        )
    found = host.run("tr -d '\\0' <%s", BLUETOOTH)

    assert (found.stdout == "disabled") is not power["bluetooth"]


@pytest.mark.level("emulated")
def test_the_led_is_as_it_is_asked_for(
    host: Host, target: Target, power: dict[str, object], *, follows: bool
) -> None:
    """Dark, the card's, or the code of the state that the recorder tells of at this moment."""
    if target.level is Level.EMULATED and host.run("test -e %s", LED).failed:
        pytest.skip(NO_LED)
    if power["led"] != "codes" or not follows:
        trigger = {"off": "[none]"}.get(str(power["led"]), "[mmc0]")
        assert trigger in host.check_output(f"cat {LED}/trigger")
        return
    until(host, lambda: Shown.on(host).led_is_right, "an LED that says what the recorder does")
    assert "[timer]" in host.check_output(f"cat {LED}/trigger")


@pytest.mark.level("chroot")
def test_the_radio_has_one_master(host: Host, power: dict[str, object], *, follows: bool) -> None:
    """Where it follows the recorder, systemd does not give it back the state it once had."""
    masked = host.run("readlink /etc/systemd/system/systemd-rfkill.socket").stdout.strip()

    assert (masked == "/dev/null") is (follows and power["radio"] == "standing")


@pytest.mark.level("emulated", highest="emulated")
@pytest.mark.driven
def test_what_comes_late_is_as_the_state_asks(
    host: Host, machine: Machine, power: dict[str, object], *, follows: bool
) -> None:
    """The LED's driver and a radio come when the state was told, and shown, long ago.

    Nothing changes it meanwhile: the vehicle drives. Then it does not any more, and both follow.
    """
    if not follows:
        pytest.skip("nothing follows the state on this image")
    assert machine.dongle is not None
    # Without a country the radio is off for good, which no state changes.
    off_for_good = host.check_output("nmcli radio wifi") == "disabled"
    host.check_output("nmcli radio wifi on")
    led = host.run(f"basename $(readlink {LED}/device)").stdout.strip()
    driver = host.run(f"readlink -f {LED}/device/driver").stdout.strip()
    blocked = "1" if power["radio"] == "standing" else "0"
    machine.dongle.drive(under_way())
    try:
        for _ in range(TIMES):
            if driver:
                host.check_output("echo %s >%s/unbind", led, driver)
            until(host, lambda: Shown.on(host).word == "driving", "a recorder that says it drives")
            until(host, lambda: host.run(NO_NEWS).succeeded, "an end of showing that")
            told = Shown.on(host)

            host.check_output("modprobe mac80211_hwsim radios=1")
            if driver:
                host.check_output("echo %s >%s/bind", led, driver)
            until(
                host, lambda: Shown.on(host).radios == {blocked}, "a radio that is as driving asks"
            )
            if driver and power["led"] == "codes":
                until(host, lambda: Shown.on(host).led_is_right, "an LED that is as driving asks")
            # A word of the recorder meanwhile would have done it too: then nothing is shown by it.
            if Shown.on(host).told_at == told.told_at:
                break
            host.check_output("modprobe --remove mac80211_hwsim")
        else:
            pytest.fail("each time the recorder told its state again meanwhile")
    finally:  # what comes after this test has drives of its own
        machine.dongle.stop()

    until(host, lambda: Shown.on(host).word not in {"driving", ""}, "the end of the drive")
    until(host, lambda: Shown.on(host).radios == {"0"}, "a radio that is given back")
    host.check_output("modprobe --remove mac80211_hwsim")
    if off_for_good:
        host.check_output("nmcli radio wifi off")


@pytest.mark.level("emulated", highest="emulated")
@pytest.mark.last
def test_a_dead_recorder_is_trouble(host: Host, power: dict[str, object], *, follows: bool) -> None:
    """The LED says so from the moment a recorder is killed until the next one tells its state."""
    if not follows:
        pytest.skip("nothing follows the state on this image")
    if power["led"] != "codes" or host.run("test -e %s", LED).failed:
        pytest.skip("no LED of this board tells anything")
    told = Shown.on(host)
    # The board looks itself, many times a second: the next one comes soon.
    bound = str(round(patience(host, EVENT_S)))
    assert host.run("timeout %s sh -c %s", bound, KILL).succeeded, "the LED said no trouble"
    until(host, lambda: Shown.on(host).told_at not in {told.told_at, ""}, "the next one's word")
    until(host, lambda: Shown.on(host).led_is_right, "an LED that says what that one does")


@pytest.mark.level("emulated")
def test_usb_sleeps_only_when_asked(host: Host, power: dict[str, object]) -> None:
    """The receiver's power is left on, or the kernel may take it while nobody has it open."""
    ask = "cat $(dirname $(readlink -f /sys/class/tty/ttyUSB0/device/..))/power/control"
    found = host.run(ask)
    if found.failed:
        pytest.skip("no serial receiver is plugged in")

    assert found.stdout.strip() == ("auto" if power["usb_sleep"] else "on")


@pytest.mark.level("chroot")
def test_what_watches_a_pin(host: Host, facts: Facts, power: dict[str, object]) -> None:
    """The watcher is there where a pin is named, and nowhere else."""
    pin = 3 if power["wake"] == "gpio" else power["off_pin"]
    unit = host.run("cat /etc/systemd/system/glovebox-off-pin.service")
    if pin is None or facts.base != "debian":
        assert unit.failed
        return

    assert f"/usr/lib/glovebox/off-pin {pin}\n" in unit.stdout
    assert host.run("systemctl is-enabled glovebox-off-pin.service").stdout.strip() == "enabled"
    assert host.run("command -v gpiomon gpioget gpiodetect").succeeded


@pytest.mark.level("emulated")
def test_the_latch_is_held(host: Host, power: dict[str, object]) -> None:
    """Where the board holds its own power, the pin is one the kernel keeps as it found it."""
    found = host.run("ls /sys/class/leds/glovebox-latch/brightness")

    assert found.succeeded is bool(power["latch_pin"])


@pytest.mark.level("emulated")
def test_the_kernel_does_not_look_for_what_nobody_wants(host: Host, facts: Facts) -> None:
    """No huge pages, no pressure, a clock seldom looked at, and no timers finer than its ticks."""
    assert host.run("cat /proc/sys/vm/compaction_proactiveness").stdout.strip() in ("0", "")
    assert host.run("cat /proc/pressure/cpu").failed
    rate = host.run("cat /sys/devices/system/cpu/cpufreq/ondemand/sampling_rate")
    if rate.succeeded:  # another governor, or no clock to choose, otherwise
        assert rate.stdout.strip() == "500000"
    timers_s, clock_s = map(float, host.check_output("python3 -c %s", FINE).split())
    assert (timers_s > MILLISECOND) is host.run(TICKS_ALWAYS).succeeded
    assert clock_s < MILLISECOND
    if facts.base == "debian":
        controller = "/proc/device-tree/soc/mmc@7e202000"
        assert host.run(f"test -e {controller}/non-removable").succeeded


@pytest.mark.level("board")
def test_the_governor_is_in_force(host: Host, power: dict[str, object]) -> None:
    """The kernel has taken the governor it was told; QEMU has no clock to choose."""
    if power["governor"] is None:
        pytest.skip("the kernel's own choice is asked for")
    place = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
    assert host.check_output(f"cat {place}") == power["governor"]


@pytest.mark.level("board")
def test_the_clock_ends_where_it_shall(host: Host, power: dict[str, object]) -> None:
    """The firmware gives the kernel no clock above the one that is asked for."""
    if power["clock"] is None:
        pytest.skip("the board's own clock is asked for")
    place = "/sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq"
    assert int(host.check_output(f"cat {place}")) == int(str(power["clock"])) * 1000


@pytest.mark.level("emulated")
def test_no_timer_wakes_the_board_for_nothing(host: Host) -> None:
    """The timers that run are ours, and systemd's that cleans /tmp."""
    told = host.check_output("systemctl list-timers --plain --no-legend --no-pager")
    timers = {word for word in told.split() if word.endswith(".timer")}

    # The last one hears of a step of the clock, and of no time that passes.
    ours = {
        *("glovebox-warnings.timer", "glovebox-standing.timer", "glovebox-blind.timer"),
        "telematics-clock.timer",
    }
    assert timers <= {*ours, "systemd-tmpfiles-clean.timer"}
