"""The scripts of fragments, LED, radio and switching off, on files that stand for a board's."""

from __future__ import annotations

from pathlib import Path

import pytest

from glovebox.host.run import CommandError, run
from tests.root.shown_board import BLUETOOTH, CODES, LED, RADIO, Board, told

STAGES = Path(__file__).parent.parent.parent / "stages"
COMPOSE = STAGES / "boot/00-initramfs/00-overlay/usr/lib/glovebox/compose-boot"
HOOK = "etc/kernel/postinst.d/z50-raspi-firmware"


def composed(root: Path, fragments: dict[str, str], *, debian: bool = True) -> Path:
    """Lay out fragments and compose them; ``debian``: with the hook that writes the files anew."""
    for name in ("etc/default", "boot/firmware"):
        (root / name).mkdir(parents=True, exist_ok=True)
    if debian:
        (root / HOOK).parent.mkdir(parents=True, exist_ok=True)
        (root / HOOK).write_text("cat /etc/default/raspi-firmware-custom\n")
    for name, text in fragments.items():
        path = root / "etc/glovebox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    run(["sh", COMPOSE, root])
    return root


def refusal(root: Path, fragments: dict[str, str]) -> str:
    """Compose what contradicts itself, and give what is said."""
    with pytest.raises(CommandError) as caught:
        composed(root, fragments)
    assert not (root / "etc/default/raspi-firmware-custom").exists()
    return caught.value.tail


def test_fragments_are_joined_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Each begins without a filter, whatever the one before it left open."""
    root = composed(
        tmp_path,
        {
            "config.txt.d/20-b.txt": "x=1 # why\ngpu_mem=16\n",
            "config.txt.d/10-a.txt": "gpu_mem=16\n[pi4]\ny=2\n",
            "cmdline.txt.d/20-b": "maxcpus=1\n",
            "cmdline.txt.d/10-a": "# why\nro\npanic=10 # so\n",
        },
    )

    assert (root / "etc/default/raspi-firmware-custom").read_text() == (
        "# /etc/glovebox/config.txt.d/10-a.txt\ngpu_mem=16\n[pi4]\ny=2\n[all]\n"
        "# /etc/glovebox/config.txt.d/20-b.txt\nx=1\ngpu_mem=16\n"
    )
    assert (root / "etc/default/raspi-extra-cmdline").read_text() == "ro panic=10 maxcpus=1\n"


def test_without_fragments_there_is_nothing_to_add(tmp_path: Path) -> None:
    """Neither file is there, not even one of an earlier time."""
    root = composed(tmp_path, {"config.txt.d/10-a.txt": "x=1\n", "cmdline.txt.d/10-a": "ro\n"})
    for each in (root / "etc/glovebox").rglob("10-*"):
        each.unlink()

    composed(root, {})

    assert list((root / "etc/default").iterdir()) == []


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("gpu_mem=16", "gpu_mem=64", "gpu_mem"),
        ("gpio=17=op,dh", "gpio=17=ip", "gpio"),
        ("dtparam=audio=on", "dtparam=audio=off", "dtparam"),
        ("[pi4]\nx=1", "[pi4]\nx=2", "x=1"),
    ],
)
def test_a_contradiction_names_both_fragments(
    tmp_path: Path, one: str, other: str, words: str
) -> None:
    """One thing set to two values is an error with both places and what to do."""
    said = refusal(tmp_path, {"config.txt.d/10-a.txt": one, "config.txt.d/20-b.txt": f"\n{other}"})

    assert words in said
    assert f"/etc/glovebox/config.txt.d/10-a.txt:{1 + one.count(chr(10))}" in said
    assert f"/etc/glovebox/config.txt.d/20-b.txt:{2 + other.count(chr(10))}" in said
    assert "hint:" in said


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    """What belongs to the kernel, a line that is too long and a contradiction of the kernel's."""
    said = refusal(
        tmp_path,
        {
            "config.txt.d/10-a.txt": f"kernel=mine\nx={'y' * 98}\n",
            "cmdline.txt.d/10-a": "ro root=/dev/sda1",
            "cmdline.txt.d/20-b": "rw",
        },
    )

    assert "10-a.txt:1 sets kernel" in said
    assert "10-a.txt:2 has more than the 98 characters" in said
    assert "root=/dev/sda1, which belongs to the disk" in said
    assert '"ro" in /etc/glovebox/cmdline.txt.d/10-a and "rw" in' in said


@pytest.mark.parametrize(
    "other",
    ["[pi3]\nx=2", "[all]\nx=1", "dtoverlay=b", "gpio=4=op", "dtparam=spi=on", "include more.txt"],
)
def test_what_adds_up_is_no_contradiction(tmp_path: Path, other: str) -> None:
    """Another filter, the same value, another overlay, pin or parameter go together."""
    first = "x=1\ndtoverlay=a\ngpio=17=op,dh\ndtoverlay=\ndtparam=audio=off\ninclude other.txt"
    root = composed(tmp_path, {"config.txt.d/10-a.txt": first, "config.txt.d/20-b.txt": other})

    assert other.splitlines()[-1] in (root / "etc/default/raspi-firmware-custom").read_text()


def test_where_nobody_writes_them_anew_the_files_are_edited(tmp_path: Path) -> None:
    """On Raspberry Pi OS our lines are a block at the end, our words replace those of their name.

    Doing it again changes nothing, and what is ours no more goes away.
    """
    boot = tmp_path / "boot/firmware"
    boot.mkdir(parents=True)
    (boot / "config.txt").write_text("dtparam=audio=on\n[cm4]\notg_mode=1\n")
    (boot / "cmdline.txt").write_text("console=tty1 root=PARTUUID=1-02 maxcpus=4 rw rootwait\n")
    # Raspberry Pi's package has a hook of the same name as Debian's, which writes neither file.
    (tmp_path / HOOK).parent.mkdir(parents=True)
    (tmp_path / HOOK).write_text(". /etc/default/raspi-firmware\ncp $2 $firmware_dst\n")
    fragments = {"config.txt.d/20.txt": "dtparam=audio=off\n", "cmdline.txt.d/20": "ro maxcpus=1"}

    composed(tmp_path, fragments, debian=False)
    first = (boot / "config.txt").read_text(), (boot / "cmdline.txt").read_text()
    composed(tmp_path, {}, debian=False)
    again = (boot / "config.txt").read_text(), (boot / "cmdline.txt").read_text()
    composed(tmp_path, {"cmdline.txt.d/20": "ro"}, debian=False)

    assert first == again
    assert first[0].startswith("dtparam=audio=on\n[cm4]\notg_mode=1\n# glovebox: from")
    assert "\n[all]\n# /etc/glovebox/config.txt.d/20.txt\ndtparam=audio=off\n" in first[0]
    assert first[1] == "console=tty1 root=PARTUUID=1-02 rootwait ro maxcpus=1\n"
    assert (boot / "cmdline.txt").read_text() == "console=tty1 root=PARTUUID=1-02 rootwait ro\n"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """Give a board with an LED and a radio."""
    return complete(tmp_path)


def complete(folder: Path, **settings: object) -> Board:
    """Lay out a board with an LED and a radio."""
    made = Board(folder, **settings)
    made.come(LED, RADIO)
    return made


@pytest.mark.parametrize(("word", "code"), CODES.items())
def test_the_codes(board: Board, word: str, code: tuple[str, ...]) -> None:
    """Each word has its code."""
    board.come(told(word))
    board.settle()

    assert board.code == code


@pytest.mark.parametrize(
    ("result", "word"),
    [("success", "stopped"), ("watchdog", "trouble"), ("signal", "trouble")],
)
def test_the_code_of_an_end(board: Board, result: str, word: str) -> None:
    """A recorder that ended by a fault is trouble, one told to is not."""
    board.die(result)

    assert board.code == CODES[word]


@pytest.mark.parametrize("led", ["activity", "off"])
def test_an_led_that_is_not_to_tell_is_left_alone(tmp_path: Path, led: str) -> None:
    """Without codes the trigger stays what udev made it."""
    board = complete(tmp_path, led=led)
    before = board.code
    board.show("trouble")

    assert board.code == before


def test_an_led_whose_module_is_not_loaded_yet(board: Board) -> None:
    """It stays as it is until udev has loaded that, and asks again; nothing fails."""
    (board.led / "trigger").unlink()
    (board.led / "trigger").symlink_to("/dev/full")  # takes no word

    board.show("no-fix")

    assert not (board.led / "delay_on").exists()


def test_a_board_without_that_led_or_a_radio(tmp_path: Path) -> None:
    """Nothing is there to be set, nothing fails, and no driver of radios is asked for."""
    board = Board(tmp_path)

    assert board.show("driving") == ""
    assert (tmp_path / "dev/rfkill").read_bytes() == b""


def test_the_radio_is_off_only_while_driving(board: Board) -> None:
    """Wi-Fi alone is blocked, and everything but driving gives it back."""
    board.come(BLUETOOTH)
    found = {}
    for word in ("driving", "no-fix", "driving", "standing", "driving", "trouble", "stopped"):
        board.show(word)
        found[word] = board.blocked()

    assert found == {"driving": "1", "no-fix": "0", "standing": "0", "trouble": "0", "stopped": "0"}
    assert board.blocked("rfkill1") == "0"


def test_a_radio_that_is_to_be_off_stays_off(board: Board, tmp_path: Path) -> None:
    """One that NetworkManager keeps off, for want of a country, is not given back by standing."""
    board.show("driving")
    (tmp_path / "NetworkManager.state").write_text("[main]\nWirelessEnabled=false\n")
    board.show("standing")

    assert board.blocked() == "1"


def test_a_radio_that_is_always_on_is_left_alone(tmp_path: Path) -> None:
    """Not even one that somebody else has blocked is touched."""
    board = complete(tmp_path, radio="always")
    (tmp_path / "sys/class/rfkill/rfkill7/soft").write_text("1\n")
    board.show("standing")

    assert board.blocked() == "1"


@pytest.mark.parametrize(
    ("state", "started", "stopped"),
    [
        ("standing", ["standing.timer"], ["blind.timer"]),
        ("no-fix", ["blind.timer"], ["standing.timer"]),
        ("trouble", ["blind.timer"], ["standing.timer"]),
        ("driving", [], ["standing.timer", "blind.timer", "stand-by.service"]),
        ("stopped", [], []),
    ],
)
def test_the_timers_that_switch_off(
    tmp_path: Path, state: str, started: list[str], stopped: list[str]
) -> None:
    """Standing starts one, not knowing a longer one, and driving ends all of it."""
    calls = [line.split() for line in complete(tmp_path, off_after=10).show(state).splitlines()]
    found = {
        verb: [call[-1].removeprefix("glovebox-") for call in calls if verb in call]
        for verb in ("start", "stop")
    }

    assert found == {"start": started, "stop": stopped}


def test_nothing_is_switched_off_unless_asked(board: Board) -> None:
    """Without off_after no timer is touched."""
    assert "systemctl" not in board.show("standing")
