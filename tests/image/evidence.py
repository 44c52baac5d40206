"""What a failed test of a running board leaves: enough to understand it without running it again.

A folder for each, which the message names. It holds what the board said and was when the test
failed; whoever hands it on looks through it first, for it quotes the board's journal.
"""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING

from glovebox.errors import GloveboxError
from glovebox.verify.verify import kept

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from testinfra.host import Host

    from glovebox.emulator.emulator import Machine

BEFORE_S = 60  # of the journal before the test began
ANSWER_S = 120
CONSOLE_LINES = 200
SPEED = "speed.json"
_OURS = "'telematics*' 'queue*' 'gpsd*' 'glovebox-*' 'recording-first*' 'not-yet*' 'chrony*' 'ssh*'"
# The clock of an emulated board jumps when its receiver sets it; the time since it started does
# not, and runs no faster than ours.
_JOURNAL = """
from=$(cut -d ' ' -f 1 /proc/uptime | awk '{{ print $1 - {seconds} }}')
journalctl --boot --no-pager --output=short-monotonic |
  awk -v from="$from" '{{ at = $0; sub(/^\\[ */, "", at); if (at + 0 >= from) print }}'
"""
_STATE = """
for each in /run/telematics/state /sys/class/leds/*/trigger /sys/class/leds/*/brightness \\
  /sys/class/leds/*/delay_on /sys/class/leds/*/delay_off /sys/class/rfkill/*/type \\
  /sys/class/rfkill/*/soft /proc/uptime /proc/loadavg /proc/meminfo; do
  [ -r "$each" ] || continue
  echo "== $each"; cat "$each"
done
echo "== date"; date --iso-8601=seconds
echo "== telematics status"; telematics status --json
"""
_UNITS = f"""
systemctl list-units --no-pager --plain --all --state=failed,activating,deactivating
systemctl list-units --no-pager --plain
systemctl list-jobs --no-pager
systemctl status --no-pager --full --lines=20 --all {_OURS}
"""


def keep(
    folder: Path, test: str, *, host: Host | None, machine: Machine | None, seconds: float, why: str
) -> Path:
    """Keep what there is in a folder of the test's own; give its place."""
    place = kept(folder, test)
    place.mkdir(parents=True, exist_ok=True)
    (place / "failure.txt").write_text(why)
    if machine is not None:
        lines = machine.serial_log.read_text(errors="replace").splitlines()
        (place / "console.txt").write_text("\n".join(lines[-CONSOLE_LINES:]) + "\n")
    asked = {
        "state.txt": _STATE,
        "units.txt": _UNITS,
        "journal.txt": _JOURNAL.format(seconds=round(seconds) + BEFORE_S),
    }
    for name, command in asked.items():
        (place / name).write_text(_answer(command, host, machine))
    (place / SPEED).write_text(json.dumps(speed(host, machine), indent=2) + "\n")
    return place


def speed(host: Host | None, machine: Machine | None) -> Mapping[str, float] | None:
    """Give the emulator's speed, in board seconds per second of the host; None of a real board.

    ``start``: by what the board had to do until systemd spoke. ``run``: by its own clock, up to
    now, as far as it can be asked.
    """
    if machine is None:
        return None
    told = {} if machine.speed is None else {"start": round(machine.speed, 2)}
    uptime = _answer("cut -d ' ' -f 1 /proc/uptime", host, machine).strip()
    if uptime.replace(".", "").isdigit():
        told["run"] = round(float(uptime) / machine.powered_s, 2)
    # Who else wanted the host's processors, in the last one, five and fifteen minutes.
    told |= dict(zip(("load_1", "load_5", "load_15"), os.getloadavg(), strict=True))
    return told


def _answer(command: str, host: Host | None, machine: Machine | None) -> str:
    """Ask the board as root, by whatever way to it there is; say so where there is none."""
    text = f"timeout {ANSWER_S} sh -c {shlex.quote(command)}"
    if machine is not None and machine.off:
        return "the board is off\n"
    try:
        if host is not None:
            done = host.run(text)
            return f"{done.stdout}{done.stderr}"
        if machine is not None and machine.answers:
            asked = machine.ssh(f"sudo -n {text} 2>&1", check=False)
            return asked.stdout
    except (GloveboxError, OSError) as error:
        return f"the board did not answer: {error}\n"
    return "nobody was logged in on the board\n"
