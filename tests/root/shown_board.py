"""A board of files, for /usr/lib/glovebox/show-state: an LED, a radio, and what the kernel does."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.host.run import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STAGE = Path(__file__).parent.parent.parent / "stages/car/01-power"
SHOW = STAGE / "02-overlay/usr/lib/glovebox/show-state"
# What the script starts. Each is a moment at which something else can come.
REAL = ("cat", "flock", "grep", "mkdir", "rm")
NOTED = ("systemctl",)
# Stands before each of them. At its call number N, what came/N says comes; before that the kernel
# does what was written to /dev/rfkill last: to each radio there is, and to those that will come.
MOMENT = """#!/bin/sh
PATH=$REAL_PATH
if [ -z "${BESIDE:-}" ]; then
  read -r number <"$BOARD/moment"
  number=$((number + 1))
  echo "$number" >"$BOARD/moment"
  . "$BOARD/kernel"
  if [ -e "$BOARD/came/$number" ]; then . "$BOARD/came/$number"; rm "$BOARD/came/$number"; fi
else
  touch "$BOARD/beside-$(basename "$0")"
fi
"""
KERNEL = """
if [ -s "$BOARD/dev/rfkill" ]; then
  od -An -v -t u1 "$BOARD/dev/rfkill" | while read -r _ _ _ _ type op soft _; do
    if [ "$op" != 3 ]; then continue; fi
    echo "$soft" >"$BOARD/global$type"
    for place in "$BOARD"/sys/class/rfkill/*; do
      if ! [ -e "$place/type" ]; then continue; fi
      read -r kind <"$place/type"
      case $type$kind in 1wlan | 2bluetooth) echo "$soft" >"$place/soft" ;; esac
    done
  done
fi
"""
NEWS = 'touch "$BOARD/run/glovebox/state/ask"'
# What may come, and what the rules of udev and the path unit do about it.
LED = f"""
mkdir -p "$BOARD/sys/class/leds/ACT"
echo 'none [heartbeat] timer mmc0' >"$BOARD/sys/class/leds/ACT/trigger"
{NEWS}
"""
RADIO = f"""
mkdir -p "$BOARD/sys/class/rfkill/rfkill7"
echo wlan >"$BOARD/sys/class/rfkill/rfkill7/type"
cat "$BOARD/global1" >"$BOARD/sys/class/rfkill/rfkill7/soft"
{NEWS}
"""
# The recorder's folder goes with it, and the path unit sees that.
GONE = f"""
rm -r "$BOARD/run/telematics"
{NEWS}
"""
# No rule: nothing here is about it.
BLUETOOTH = """
mkdir -p "$BOARD/sys/class/rfkill/rfkill1"
echo bluetooth >"$BOARD/sys/class/rfkill/rfkill1/type"
cat "$BOARD/global2" >"$BOARD/sys/class/rfkill/rfkill1/soft"
"""


def told(word: str) -> str:
    """Give what happens when the recorder tells a word."""
    return f"""
mkdir -p "$BOARD/run/telematics"
echo {word} >"$BOARD/run/telematics/.state"
mv "$BOARD/run/telematics/.state" "$BOARD/run/telematics/state"
{NEWS}
"""


class Board:
    """Files that stand for a board's, and programs that note their call."""

    def __init__(self, folder: Path, **settings: object) -> None:
        """Lay them out, without an LED or a radio."""
        self.folder = folder
        for name in ("etc/glovebox", "dev", "run/glovebox/state", "sys/class", "came", "bin"):
            (folder / name).mkdir(parents=True)
        given = {"led": "codes", "radio": "standing", "off_after": 0, **settings}
        (folder / "etc/glovebox/state.conf").write_text(
            "".join(f"{name}={value}\n" for name, value in given.items())
        )
        for name in ("global1", "global2"):
            (folder / name).write_text("0\n")
        (folder / "kernel").write_text(KERNEL)
        self.calls = folder / "calls"
        for path in (self.calls, folder / "dev/rfkill"):
            path.touch()
        (folder / "moment").write_text("0\n")
        for name in (*REAL, *NOTED):
            then = f'exec {name} "$@"' if name in REAL else f'echo "{name} $*" >>"$BOARD/calls"'
            program = folder / "bin" / name
            program.write_text(f"{MOMENT}{then}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.variables = {
            "BOARD": str(folder),
            "SYS": str(folder / "sys"),
            "DEV": str(folder / "dev"),
            "RUN": str(folder / "run"),
            "ETC": str(folder / "etc"),
            "NM": str(folder / "NetworkManager.state"),
            "REAL_PATH": os.environ["PATH"],
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        }

    @property
    def led(self) -> Path:
        """Give the folder of the LED."""
        return self.folder / "sys/class/leds/ACT"

    @property
    def asked(self) -> Path:
        """Give the file by which the script is asked to look again."""
        return self.folder / "run/glovebox/state/ask"

    def show(self, *words: str, **variables: str) -> str:
        """Run the script; give what was called."""
        self.calls.write_text("")
        run(["sh", SHOW, *words], env={**self.variables, **variables})
        self.come("")
        return self.calls.read_text()

    def come(self, *what: str) -> None:
        """Let things come, one after the other; the kernel does what it was asked for before."""
        env = {**self.variables, "PATH": self.variables["REAL_PATH"]}
        for each in what:
            run(["sh", "-e", "-c", KERNEL + each], env=env)

    def come_while_shown(self, what: Mapping[int, str]) -> None:
        """Let things come at these calls of programs, counted from the next one."""
        (self.folder / "moment").write_text("0\n")
        for number, each in what.items():
            (self.folder / "came" / str(number)).write_text(each)

    def settle(self) -> None:
        """Do as glovebox-state.path and its service: as long as somebody asks, show."""
        while True:
            while self.asked.exists():
                self.asked.unlink()
                self.show()
            self.come("")
            late = sorted((self.folder / "came").iterdir(), key=lambda each: int(each.name))
            if not late:
                return
            # Nothing was shown any more at that moment: it comes now.
            self.come(late[0].read_text())
            late[0].unlink()

    def die(self, result: str) -> None:
        """Let the recorder end; its folder goes when what systemd runs then is through."""
        variables = {**self.variables, "SERVICE_RESULT": result, "BESIDE": "1"}
        run(["sh", SHOW, "stopped"], env=variables)
        run(["rm", "-r", "-f", self.folder / "run/telematics"])

    @property
    def code(self) -> tuple[str, ...]:
        """Give the trigger, and of a timer its times."""
        trigger = (self.led / "trigger").read_text().strip()
        times = (self.led / "delay_on", self.led / "delay_off")
        return (trigger, *(each.read_text().strip() for each in times if trigger == "timer"))

    def blocked(self, name: str = "rfkill7") -> str:
        """Give whether a radio is blocked: 1 or 0."""
        return (self.folder / "sys/class/rfkill" / name / "soft").read_text().strip()


CODES: Mapping[str, Sequence[str]] = {
    "driving": ("timer", "40", "2960"),
    "standing": ("timer", "40", "2960"),
    "no-fix": ("timer", "500", "500"),
    "trouble": ("timer", "80", "250"),
    "mistake": ("timer", "2000", "2000"),
    "unheard": ("timer", "2960", "40"),
    "stopped": ("heartbeat",),
    "something new": ("heartbeat",),
}
