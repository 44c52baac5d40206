"""What the session's emulated board finds on its card: a file that its owner filled.

One board gets it, so that the other one shows a card that nobody touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.card import table as card
from glovebox.host.run import run
from glovebox.verify.verify import Level

if TYPE_CHECKING:
    from glovebox.verify.verify import Facts, Target

BOARD = "3"
FILE = "glovebox.yaml"
HOSTNAME = "truck-7"
DEVICE = "seven"
SSID = "garage"
PSK = "a passphrase that nobody else has"
COUNTRY = "DE"
WRONG = b"hostname: Truck\n"
# What people put beside it out of habit; the one with the passphrase must not outlive the start.
HABITS = {
    "ssh": b"",
    "wpa_supplicant.conf": f'network={{\n  ssid="{SSID}"\n  psk="{PSK}"\n}}\n'.encode(),
}
NOTES = "glovebox-notes.txt"
# What Raspberry Pi Imager wrote besides: by its own code, and the words that the source says.
FIRST_RUN = "firstrun.sh"
TIMEZONE, KEYBOARD = "Europe/London", "gb"
DIALOG = Path(__file__).parent.parent / "imager/v2.0.11.1/country" / FIRST_RUN
CMDLINE = "cmdline.txt"
WORDS = (
    "cfg80211.ieee80211_regdom=GB",
    "systemd.run=/boot/firstrun.sh",
    "systemd.run_success_action=reboot",
    "systemd.unit=kernel-command-line.target",
)
# Words that people copy from cards of other systems; they stay, and keep nothing from starting.
COPIED = ("init=/usr/lib/raspberrypi-sys-mods/firstboot", "resize", "splash")
MISTAKE = (
    "glovebox.yaml:1: hostname: 'Truck' is not a host name; hint: 1 to 63 of a-z, 0-9 and -,"
    " with - neither first nor last; no dots"
)


@dataclass(frozen=True, kw_only=True)
class Filled:
    """The owner's file, and a key that only this file lets in."""

    text: bytes
    key: Path | None


def is_filled(target: Target, facts: Facts) -> bool:
    """Tell whether this session's card has such a file."""
    return (
        target.level is Level.EMULATED
        and facts.car
        and facts.board == BOARD
        and "first-boot" in facts.stages
    )


def told(facts: Facts) -> Facts:
    """Give what the board is once it took the file over."""
    service = {**(facts.service or {}), "device": DEVICE}
    return replace(facts, hostname=HOSTNAME, timezone=TIMEZONE, service=service)


def fill(folder: Path, key: Path | None) -> Filled:
    """Write the file as an owner on Windows does; ``key``: the one the tests log in with."""
    lines = [
        f"hostname: {HOSTNAME}",
        "wifi:",
        f"  country: {COUNTRY}",
        "  networks:",
        f"    - ssid: {SSID}",
        f'      psk: "{PSK}"',
        "service:",
        f"  device: {DEVICE}",
    ]
    other = None
    if key is not None:
        other = folder / "other"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "other", "-f", other])
        own = run(["ssh-keygen", "-y", "-f", key]).stdout.strip()
        public = (own, other.with_suffix(".pub").read_text().strip())
        lines += ["user:", "  ssh_keys:", *(f"    - {each}" for each in public)]
    text = "".join(f"{line}\r\n" for line in lines)
    return Filled(text=text.encode("utf-8-sig"), key=other)


def by_imager(image: Path, folder: Path) -> dict[str, bytes]:
    """Give what Raspberry Pi Imager adds to an image's boot partition, and how it changes one."""
    own = card.copy_out(image, CMDLINE, folder / CMDLINE).read_bytes()
    return {
        FIRST_RUN: DIALOG.read_bytes(),
        CMDLINE: b" ".join([own.strip(), *(word.encode() for word in (*COPIED, *WORDS))]),
    }
