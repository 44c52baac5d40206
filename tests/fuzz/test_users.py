"""The readers of what users write: image.yaml, lists, stage folders, apt sources, package lists."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from glovebox.card import system
from glovebox.config.schema import Config
from glovebox.errors import ConfigError, Mistakes
from glovebox.host import files
from glovebox.lock import apt
from glovebox.lock.lock import Lock
from glovebox.onboard.firstboot import card, takeover
from glovebox.onboard.firstboot.disk import CardDisk
from glovebox.onboard.firstboot.forms import read as forms, words
from glovebox.plan import plan
from glovebox.project import load
from glovebox.stage import check, modes, stage, template, untracked, wordlist
from tests.fuzz.runner import Target, lines, run
from tests.owners_card import board

if TYPE_CHECKING:
    import random

_YAML = (
    "board", "3", "base", "debian", "suite", "hostname", "locale", "timezone", "Europe/Berlin",
    "keyboard", "user", "name", "ssh_keys", "disk", "root", "1.5GiB", "wifi", "networks", "psk",
    "stages", "path", "network", "true", "environment", "&a", "*a", "!!binary", "|", "- ", "  ",
    "{", "}", "[", "]", "? ", "<<", "---",
)  # fmt: skip
_SHELL = (
    "$NAME", "${NAME}", "${NAME:-x}", "$(", "`", "gpsd", "name-", "name/suite", "name=1", "#",
    "{{ config.user.name }}", "{{", "}}", "{% for x in", "{% endfor %}", "{% include 'x' %}",
    "cat", "<<EOF", "EOF", "if", "then", "rsync", "../../x", "env", "on_chroot", "exit 0", "'",
)  # fmt: skip
_SOURCES = (
    "deb", "deb-src", "[signed-by=/x]", "http://a/debian", "trixie", "main", "Types", "URIs",
    "Suites", "Components", "Enabled", "no", "Signed-By",
)  # fmt: skip
_STATUS = ("Package", "Version", "Status", "install ok installed", "Architecture", "arm64", "²")
_NAMES = (
    "00-run.sh", "00-run-chroot.sh", "01-packages", "02-packages-nr", "03-debconf", "04-patches",
    "05-overlay", "06-templates", "05-overlay.modes", "files", "files.modes", "SKIP", "NEEDS",
    "FOREIGN_PROGRAMS", "CAPABILITIES", "08-wheels", "prerun.sh", "EXPORT_IMAGE",
    "07-on-tools.sh", "07-sources", "x\udcff",
)  # fmt: skip
_CARD = (
    "#cloud-config", "hostname:", "user:", "users:", "- name:", "passwd:", "wifis:", "wlan0:",
    "access-points:", "runcmd:", "- [ a, b ]", "[wlan]", "[user]", "ssid = ", "ssid_hex = ", '"e4"',
    "[[user]]", "a.b = 1", "1979-05-27", "password = ", "config_version = 1", "true", "{", "}", "[",
    "/usr/lib/raspberrypi-sys-mods/imager_custom", "set_wlan", "-h", "enable_ssh", "-k", "'", '"',
    "/usr/lib/userconf-pi/userconf", "set_hostname", "ssid=hex:", "systemd.run=", "ds=nocloud;",
    "cfg80211.ieee80211_regdom=", "\x00", "&a", "*a", "? ", "null", "0x7", "---",
)  # fmt: skip
_LOCK = Lock(suite="trixie", epoch=0, chains={})


def read_yaml(text: str, folder: Path) -> None:
    """Load it as a configuration."""
    path = folder / "image.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    load.load(path, home=folder)


def read_list(text: str, folder: Path) -> None:
    """Read it as a list of packages, and as one of modes."""
    for name, read in (("00-packages", lambda path: wordlist.words_of(path, {"NAME": "x"})),
                       ("x.modes", lambda path: modes.read(path.with_suffix("")))):  # fmt: skip
        path = folder / name
        path.write_bytes(text.encode(errors="surrogatepass"))
        with suppress(ConfigError):
            read(path)


def read_sources(text: str, folder: Path) -> None:
    """Read it as apt's sources in both formats."""
    parts = folder / "etc/apt/sources.list.d"
    parts.mkdir(parents=True, exist_ok=True)
    for name in ("x.list", "x.sources"):
        (parts / name).write_bytes(text.encode(errors="surrogatepass"))
    list(apt.sources_of(folder))


def tree_of(chance: random.Random) -> dict[str, str]:
    """Make a stage of entries that are files, folders, links and pipes, each of any name."""
    made = {}
    for _ in range(chance.randrange(1, 12)):
        depth = chance.choice((1, 2, 2, 2, 3))
        name = "/".join(
            chance.choice(("00-a", "01-b", *_NAMES)) if n < depth - 1 else chance.choice(_NAMES)
            for n in range(depth)
        )
        link = chance.choice(("../..", "/", "nowhere", "../files", ".", "/dev/zero"))
        made[name] = chance.choice((lines(chance, _SHELL), lines(chance, _SHELL), f">{link}"))
    return made


def read_stage(tree: dict[str, str], folder: Path) -> None:
    """Plan what can be planned of a stage, and say what there is to say."""
    with TemporaryDirectory(dir=folder) as made:
        root = Path(made) / "stages/mine"
        for name, text in tree.items():
            path = root / name
            with suppress(OSError):  # what is a file already can be no folder
                path.parent.mkdir(parents=True, exist_ok=True)
                if text.startswith(">"):
                    path.symlink_to(text[1:])
                else:
                    path.write_bytes(text.encode(errors="surrogatepass"))
                    path.chmod(0o755)
        if not root.is_dir():
            return
        one = stage.read(root, foreign=True)
        found = Mistakes()
        check.examine([one], {"NAME": "x"}, found, checkout=folder)
        for action in one.sub_stages[0].of(stage.Kind.TEMPLATES) if one.sub_stages else ():
            template.examine(action.path, {"config": Config()}, found)
        found.require_none()
        check.warnings([one], {})
        for sub in one.sub_stages:
            untracked.inputs(sub)
            stage.variables_read(sub, {"NAME": "x"})
            list(plan.read_by(sub, given={}, lock=_LOCK))
        files.stamp_tree(root)


def read_card(text: str, folder: Path) -> None:
    """Take it for each file that Raspberry Pi Imager or another system puts on a card."""
    places = board(folder / "board") if not (folder / "board").exists() else card.Places(
        boot=folder / "board/boot", data=folder / "board/root/data", root=folder / "board/root"
    )  # fmt: skip
    data = text.encode(errors="surrogatepass")
    for name in (*forms.READERS, words.FILE):
        (places.boot / name).write_bytes(data)
    found = takeover.look(places.boot)
    with suppress(card.MistakesError):
        card.read(b"", {}, places, forms.read(found.forms, found.cmdline, places.root))
    words.take_off(places.boot / words.FILE, found.cmdline, Writing())
    assert not words.theirs((places.boot / words.FILE).read_bytes())


class Writing(CardDisk):
    """A card of which nothing is flushed: a case is a millisecond."""

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        """See Disk."""
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(content)


TARGETS = (
    Target(name="card", make=lambda chance: lines(chance, _CARD), read=read_card, cases=150),
    Target(name="image.yaml", make=lambda chance: lines(chance, _YAML), read=read_yaml, cases=150),
    Target(name="list", make=lambda chance: lines(chance, _SHELL), read=read_list, cases=300),
    Target(name="apt sources", make=lambda chance: lines(chance, _SOURCES), read=read_sources,
           cases=200),
    Target(name="status file", make=lambda chance: lines(chance, _STATUS),
           read=lambda text, _folder: system.installed(text), cases=300),
    Target(name="stage", make=tree_of, read=read_stage, cases=150),
)  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_reader(target: Target, seed: int, pytestconfig: pytest.Config) -> None:
    """Whatever users write, it is read, or it is said in our own words what is wrong."""
    seconds = pytestconfig.getoption("--fuzz-seconds")

    count, failure = run(
        target, seed=seed, until=time.monotonic() + seconds if seconds is not None else None
    )

    assert failure is None, str(failure)
    assert count > 0
