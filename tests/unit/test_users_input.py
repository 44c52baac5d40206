"""Text, values and files of users: each mistake has a sentence with the cure, before any build."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest
from invoke import Exit

import tasks
from glovebox.build import actions
from glovebox.config import rules
from glovebox.config.problem import WrongValueError
from glovebox.config.schema import Config, StageEntry
from glovebox.errors import ConfigError, HostError, Mistakes, StepError
from glovebox.host.monitor import Monitor
from glovebox.host.run import run, stream
from glovebox.lock import apt, lock
from glovebox.plan import plan
from glovebox.project import load, opened, pi_gen_config, sound
from glovebox.stage import check, host_tools, pi_gen, stage, template, wordlist
from glovebox.store import current
from glovebox.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDUyMHFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFx"


def script(folder: Path, name: str, data: bytes) -> Path:
    """Write a script of a sub-stage."""
    path = folder / "mine/00-a" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o755)
    return path


def test_scripts_pass_byte_for_byte() -> None:
    """A comment in Latin-1 is nobody's error: what a shell is fed are the bytes of the file."""
    said: list[str] = []
    text = b"# gr\xfc\xdfe\nprintf '%s' '\xfc' | od -An -tx1\n".decode(errors="surrogateescape")

    stream(["bash", "-e"], line=said.append, input=text)

    assert said == [" fc"]


@pytest.mark.parametrize("data", ["schön\n".encode("latin-1"), "gpsd\n".encode("utf-16")])
def test_a_list_that_is_no_utf8(tmp_path: Path, data: bytes) -> None:
    """It is named, with the program that mends it; one with a byte order mark is read."""
    path = tmp_path / "00-packages"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="no UTF-8") as caught:
        wordlist.words_of(path, {})
    assert "iconv" in (caught.value.hint or "")

    path.write_bytes(b"\xef\xbb\xbfgpsd\r\nchrony\r\n")
    assert wordlist.words_of(path, {}) == ("gpsd", "chrony")


def test_every_mistake_of_stages_at_once(tmp_path: Path) -> None:
    """Scripts with CRLF, lists no shell reads, wrong lists of modes: all before anything runs."""
    script(tmp_path, "00-run.sh", b"#!/bin/bash\r\necho\r\n")
    script(tmp_path, "01-run-chroot.sh", b"echo\r\n")
    script(tmp_path, "02-packages", b"linux-$(uname -r)\n")
    script(tmp_path, "files.modes", b"0600 - gone\n")
    script(tmp_path, "files/x", b"")

    found = Mistakes()
    check.examine([stage.read(tmp_path / "mine")], {}, found, checkout=tmp_path)

    with pytest.raises(ConfigError) as caught:
        found.require_none()
    for name in ("00-run.sh", "01-run-chroot.sh", "02-packages", "files.modes:1"):
        assert name in caught.value.message
    assert caught.value.message.count("sed -i") == 2


def test_what_is_passed_over_is_said(tmp_path: Path) -> None:
    """An overlay that is a file or a dangling link, a list that is a folder."""
    script(tmp_path, "00-run.sh", b"true\n")
    script(tmp_path, "01-overlay", b"")
    (tmp_path / "mine/00-a/02-overlay").symlink_to("nowhere")
    (tmp_path / "mine/00-a/03-packages").mkdir()

    found = check.warnings([stage.read(tmp_path / "mine")], {})

    assert [one.partition(":")[0][-11:] for one in found] == [
        "/01-overlay", "/02-overlay", "03-packages",
    ]  # fmt: skip


def test_what_a_shell_prints_is_no_variable(tmp_path: Path) -> None:
    """Values may hold lines that look like variables; `exit 0` ends the file and loses nothing."""
    config = tmp_path / "config"
    config.write_text("printf 'A=1'\nMOTD=$'a\\nTARGET_HOSTNAME=evil'\nONE=1\nexit 0\nTWO=2\n")

    assert pi_gen.source(config, {}) == {"MOTD": "a\nTARGET_HOSTNAME=evil", "ONE": "1"}


def test_two_keys_of_pi_gen(tmp_path: Path) -> None:
    """Each line of PUBKEY_SSH_FIRST_USER is a key: none is lost, so nobody else's gets in."""
    config = tmp_path / "config"
    config.write_text(f"PUBKEY_SSH_FIRST_USER='{KEY} one\n{KEY} two'\n")

    tree = pi_gen_config.read(config).value

    assert isinstance(tree, dict)
    keys = tree["user"].value["ssh_keys"].value  # type: ignore[index,call-overload]  a section
    assert [one.value.text.split()[2] for one in keys] == ["one", "two"]


def test_a_config_with_line_ends_of_windows(tmp_path: Path) -> None:
    """It is refused with the cure: a shell would put them into values and names."""
    config = tmp_path / "config"
    config.write_bytes(b"IMG_NAME=x\r\n")

    with pytest.raises(ConfigError, match="CRLF") as caught:
        pi_gen.source(config, {})
    assert "sed -i" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "today"),
    [("US/Eastern", "America/New_York"), ("Europe/Kiev", "Europe/Kyiv"),
     ("Asia/Calcutta", "Asia/Kolkata"), ("CET", "Europe/Brussels"), ("EST", "America/Panama"),
     ("Kwajalein", "Pacific/Kwajalein")],
)  # fmt: skip
def test_zones_of_yesterday(text: str, today: str) -> None:
    """The host's tzdata knows them, the image's does not: the new name is said."""
    with pytest.raises(WrongValueError) as caught:
        rules.timezone(text)
    assert caught.value.cure == f"write {today}"


@pytest.mark.parametrize("text", ["Europe/Amsterdam", "Etc/UTC", "UTC", "Asia/Kolkata"])
def test_zones_of_today(text: str) -> None:
    """A zone of its own, also one that is another's link, is taken."""
    assert rules.timezone(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("locale: de_XX.UTF-8", "'de_XX.UTF-8' is no locale of trixie; hint: did you mean de_"),
        ("locale: sr_RS.UTF-8@cyrillic", "did you mean sr_RS.UTF-8"),
        ("locale: zz_DE.UTF-8", "is no locale of trixie"),
        ("locale: aa_ER.UTF-8@saaho", "is no locale of trixie"),
        ("locale: kv_RU.UTF-8\nsuite: bookworm", "is no locale of bookworm"),
    ],
)
def test_a_locale_that_the_suite_has_not(tmp_path: Path, text: str, told: str) -> None:
    """It is told before anything is built, with the nearest that there is."""
    path = tmp_path / "image.yaml"
    path.write_text(f"board: 3\n{text}\n")

    with pytest.raises(ConfigError, match=r"image\.yaml:2: locale: ") as caught:
        load.load(path)
    assert told in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "C.UTF-8", "de_DE.UTF-8", "sr_RS.UTF-8@latin", "kv_RU.UTF-8",
        "aa_ER.UTF-8@saaho\nsuite: bookworm", "zz_ZZ.UTF-8\nsuite: sid",
    ],
)  # fmt: skip
def test_a_locale_that_the_suite_has(tmp_path: Path, text: str) -> None:
    """It is taken; of a suite that moves nobody knows."""
    path = tmp_path / "image.yaml"
    path.write_text(f"board: 3\nlocale: {text}\n")

    assert load.load(path).config.locale == text.partition("\n")[0]


def test_a_language_is_no_keyboard() -> None:
    """`en` is what people write; a layout is named by its country."""
    with pytest.raises(WrongValueError) as caught:
        rules.keyboard("en")
    assert "us or gb" in caught.value.cure


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("10G", 10**10), ("1.5GiB", 3 << 29), ("512MiB", 512 << 20), ("4gb", 4 * 10**9), ("7", 7)],
)
def test_one_notation_of_sizes(text: str, bytes_: int) -> None:
    """The configuration and --keep read the same text as the same size."""
    assert rules.size(text) == current.parse_size(text) == bytes_


@pytest.mark.parametrize(
    ("data", "said", "cure"),
    [
        (f"{KEY} me\n".encode("utf-16"), "UTF-16", "iconv"),
        (b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n", "PuTTY", "ssh-keygen -i"),
        (b"PuTTY-User-Key-File-3: ssh-ed25519\n", "PuTTY", "ssh-keygen -i"),
    ],
)
def test_keys_in_odd_forms(tmp_path: Path, data: bytes, said: str, cure: str) -> None:
    """It is said what the file is, and how to turn it into one that is read."""
    (tmp_path / "id.pub").write_bytes(data)
    with pytest.raises(WrongValueError) as caught:
        rules.ssh_key("./id.pub", rules.Place(folder=tmp_path, checkout=tmp_path, home=tmp_path))
    assert said in caught.value.what
    assert cure in caught.value.cure


def test_a_key_with_a_byte_order_mark(tmp_path: Path) -> None:
    """The mark is no part of the key."""
    (tmp_path / "id.pub").write_bytes(b"\xef\xbb\xbf" + f"{KEY} me\n".encode())
    place = rules.Place(folder=tmp_path, checkout=tmp_path, home=tmp_path)

    assert rules.ssh_key("./id.pub", place) == f"{KEY} me"


def test_folded_sources(tmp_path: Path) -> None:
    """A deb822 entry may go on for lines, with comments between them."""
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/apt/sources.list.d/x.sources").write_text(
        "Types: deb\n# a comment\nURIs:\n http://one.example/debian\n http://two.example/debian\n"
        "Suites: trixie\nComponents: main\n non-free-firmware\n"
    )

    found = list(apt.sources_of(tmp_path))

    assert [one.url for one in found] == ["http://one.example/debian", "http://two.example/debian"]
    assert {one.components for one in found} == {("main", "non-free-firmware")}


@pytest.mark.parametrize("key", ["timezone", "base", "stages"])
def test_values_of_any_length(tmp_path: Path, key: str) -> None:
    """A value longer than a file's name is a mistake like any other: file, line and key."""
    path = tmp_path / "image.yaml"
    value = f"[./{'x' * 300}]" if key == "stages" else "A" * 300 + ".img" * (key == "base")
    path.write_text(f"board: 3\n{key}: {value}\n")

    with pytest.raises(ConfigError, match=rf"image\.yaml:2.*{key}"):
        load.load(path)


def test_what_a_stage_needs_comes_before_it(tmp_path: Path) -> None:
    """All stages that stand without what they are made upon are named at once."""
    entries = tuple(
        StageEntry(path=name) for name in ("base", "gnss-source", "telematics", "queue")
    )
    checkout = load.CHECKOUT
    with pytest.raises(ConfigError) as caught:
        plan.read_stages(Config(stages=entries), checkout)

    assert "gnss-source needs gnss before it" in caught.value.message
    assert len(caught.value.each) == 3
    assert "telematics needs queue before it, and queue comes after it" in caught.value.message
    image = tmp_path / "x.img"
    plan.read_stages(Config(stages=entries, base=str(image)), checkout)


def test_an_overlay_over_another_kind(tmp_path: Path) -> None:
    """A link over a folder, a folder over a file: the overlay's file is named, not the store's."""
    overlay, root = tmp_path / "mine", tmp_path / "root"
    (root / "var/log").mkdir(parents=True)
    (root / "var/log/x").touch()
    (overlay / "var").mkdir(parents=True)
    (overlay / "var/log").symlink_to("/data/log")

    with pytest.raises(StepError, match="mine/var/log cannot be laid") as caught:
        actions.lay(overlay, root)
    assert str(root) not in caught.value.message


def test_tools_of_the_build_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What run.sh starts and the machine lacks is told with its package; on_chroot's is not."""
    monkeypatch.setattr(host_tools.shutil, "which", lambda _name, **_: None)
    script(
        tmp_path, "00-run.sh",
        b"#!/bin/bash\n# rsync\nif true; then rsync -a x y; fi\non_chroot <<EOF\nzip x\nEOF\n"
        b"command -v parted || bsdtar -x\n",
    )  # fmt: skip
    subs = stage.read(tmp_path / "mine", foreign=True).sub_stages

    found = host_tools.missing(subs)

    assert [one.rpartition(" ")[2] for one in found] == ["rsync", "libarchive-tools"]
    assert "00-run.sh:3" in found[0]
    assert host_tools.missing(stage.read(tmp_path / "mine").sub_stages) == []


def test_slow_things_say_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where output is no terminal; what is quick says nothing."""
    monkeypatch.setattr("glovebox.host.monitor._MOMENT_S", 0.01)
    with Monitor().slow("packages", "asking the mirror"):
        deadline = time.monotonic() + 30
        said = ""
        while "asking the mirror" not in said and time.monotonic() < deadline:
            said += capsys.readouterr().out
    capsys.readouterr()  # the end of that line may come later
    monkeypatch.setattr("glovebox.host.monitor._MOMENT_S", 600)
    with Monitor().slow("packages", "quick"):
        pass

    assert "… packages: asking the mirror" in said
    assert capsys.readouterr().out == ""


def test_json_is_all_that_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes and whatever there is to say: a program reads the output."""

    def opened_slowly(monitor: Monitor, **_more: object) -> str:
        monitor.say("  … packages: asking the mirror")
        monitor.warn("a mirror is old")
        return "the project"

    monkeypatch.setenv("GLOVEBOX_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(opened, "open_project", opened_slowly)

    with tasks._opened("plan", overrides=[], config="image.yaml", as_json=True) as project:
        assert str(project) == "the project"

    assert capsys.readouterr().out == ""


def test_a_fault_of_ours_is_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback: version, command and log, whose fault it is, and no secret of the command."""
    monkeypatch.setattr(sys, "argv", ["invoke", "plan", "--set", "wifi.networks[0].psk=geheim99"])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(Exit) as caught, tasks._ending(tmp_path / "x.log"):
        raise KeyError("tools")

    said = str(caught.value.message)
    (report,) = tmp_path.glob("glovebox-fault-*")
    assert caught.value.code == 70
    assert "a fault of Glovebox, not yours: KeyError" in said
    for part in ("version: 0.", "command: ./invoke plan", str(report), "x.log"):
        assert part in said
    assert "Traceback" not in said
    assert "Traceback" in report.read_text()
    assert "geheim" not in said + report.read_text()


def test_nobody_reads_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that has seen enough (`| head`) is no error."""
    reader, writer = os.pipe()
    os.close(reader)
    closed = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stdout", closed)

    with pytest.raises(Exit) as caught, tasks._ending():
        raise BrokenPipeError

    assert caught.value.code == 141
    assert not caught.value.message


def test_output_that_is_ascii_alone() -> None:
    """A terminal or a pipe without our signs gets question marks, and no traceback."""
    code = "import tasks\nwith tasks._ending() as monitor: monitor.say('✓ Höfe …')"
    words = [sys.executable, "-c", code]
    env = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": f"{load.CHECKOUT}:{load.CHECKOUT / 'app'}"}

    assert run(words, env=env).stdout == "? H?fe ?\n"


def mistaken(folder: Path) -> Path:
    """Write a configuration with mistakes of every kind: values, stages, their files, overlays."""
    for name, data in {
        "stages/one/00-a/00-run.sh": b"#!/bin/bash\r\n",
        "stages/one/00-a/01-run.sh": b"#!/bin/bash\nrsync -a x y\nparted x\n",
        "stages/one/00-a/02-sources": b"path:nowhere\n",
        "stages/one/00-a/03-packages": b"linux-$(uname -r)\n",
        "stages/one/00-a/05-wheels": b"duckdb=2\n",
        "stages/one/00-a/04-templates/etc/x": b"{% if %}\n",
        "stages/one/00-a/CAPABILITIES": b"root\n",
        "stages/one/EXPORT_IMAGE": b"IMG_SUFFIX=a/b\n",
        "stages/one/NEEDS": b"another\n",
        "stages/two/00-a/00-run-chroot.sh": b"true\n",
        "stages/two/00-a/00-overlay.modes": b"0600 - gone\n0600 - gone too\n",
        "stages/two/00-a/00-overlay/x": b"",
        "ov/x": b"",
        "te/etc/x": b"{{ config.nothing }}\n",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755)
    (folder / "stages/three").mkdir()
    (folder / "stages/three/00-a").mkdir()
    (folder / "stages/three/00-a/all").symlink_to("/")
    os.mkfifo(folder / "ov/pipe")
    (folder / "image.yaml").write_text(
        "board: 3\nstages: [./stages/one, ./stages/two, ./stages/three]\n"
        "overlays: [./ov]\ntemplates: [./te]\n"
    )
    return folder / "image.yaml"


# What is said of each mistake above: place, and a word of the cure.
OF_STAGES = {
    "00-run.sh: ": "sed -i", "02-sources: path:nowhere": "checkout", "03-packages: ": "expanded",
    "05-wheels:1": "duckdb>=2", "04-templates/etc/x:1": "docs/",
    "CAPABILITIES: ": "capabilities(7)", "EXPORT_IMAGE: ": "-lite",
    "one needs another before it": "NEEDS", "00-overlay.modes:1": "0640", "00-overlay.modes:2":
    "0640", "three/00-a/all is a link to /": "copy it", "ov/pipe is a pipe": "remove it",
}  # fmt: skip
OF_VALUES = {"te/etc/x:1": "docs/"}
OF_THE_MACHINE = {
    "01-run.sh:2: it starts rsync": "apt-get install", "01-run.sh:3: it starts parted":
    "apt-get install", "this machine lacks mmdebstrap": "apt-get install",
    "programs of arm64 do not run here": "./invoke setup",
}  # fmt: skip


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the programs of this machine away, and see to it that nothing is locked."""
    monkeypatch.setattr("shutil.which", lambda _name, **_: None)
    said = HostError("programs of arm64 do not run here", hint="./invoke setup")

    def refuse(_arch: str) -> None:
        raise said

    monkeypatch.setattr(sound, "require_emulation", refuse)
    monkeypatch.setattr(lock, "resolve", lambda *_, **__: pytest.fail("something was locked"))


@pytest.mark.usefixtures("bare")
def test_every_mistake_at_once(tmp_path: Path) -> None:
    """Of stages, their files, overlays, templates and the machine, before anything is locked."""
    with pytest.raises(ConfigError) as caught:
        opened.open_project(
            Monitor(quiet=True), store=Store(root=tmp_path / "store"), config=mistaken(tmp_path),
            out=tmp_path / "out", builds=True,
        )  # fmt: skip

    first, *lines = str(caught.value).splitlines()
    expected = OF_STAGES | OF_VALUES | OF_THE_MACHINE
    assert first == f"the configuration and this machine have {len(lines)} mistakes:"
    for place, cure in expected.items():
        assert [line for line in lines if place in line and cure in line], place
    assert len(lines) == len(expected) + 3  # apt-get, gpgv and unshare are lacking, too
    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("bare")
def test_values_that_are_wrong_hide_nothing(tmp_path: Path) -> None:
    """Nor does a wrong value cause a mistake: what hangs on it is not looked at."""
    config = mistaken(tmp_path)
    config.write_text(f"{config.read_text()}hostnmae: x\nlocale: de\n")

    with pytest.raises(ConfigError) as caught:
        sound.require(config)

    lines = str(caught.value).splitlines()[1:]
    assert "hostnmae" in lines[0]
    assert "image.yaml:6: locale" in lines[1]
    for place in OF_STAGES:
        assert [line for line in lines if place in line], place
    assert not [line for line in lines if "te/etc/x" in line or "rsync" in line]

    config.write_text("board: 3\nstages: [base, queeu, telematics]\n")
    with pytest.raises(ConfigError) as caught:
        sound.require(config)
    assert len(caught.value.each) == 2  # the stage's name, and this machine
    assert "did you mean queue?" in caught.value.each[0]


@pytest.mark.usefixtures("bare")
def test_one_mistake_is_told_as_it_is(tmp_path: Path) -> None:
    """Where only this machine lacks something, that is what is said, with its own status."""
    config = tmp_path / "image.yaml"
    config.write_text("board: 3\n")

    with pytest.raises(HostError, match="programs of arm64 do not run here"):
        sound.require(config)
    with pytest.raises(HostError, match="this machine is not ready for it:\n") as caught:
        sound.require(config, builds=True)
    assert len(caught.value.each) == 5


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ config.__class__.__init__ }}",
        "{{ config.base.format.__self__ }}", "{{ '{0.__class__}'.format(config) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}", "{% include '/etc/hostname' %}",
        "{% include '../canary' %}", "{% set _ = config.environment.update(A='1') %}x",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
    ],
)  # fmt: skip
def test_a_template_sees_values_alone(tmp_path: Path, text: str) -> None:
    """It is data: nothing of Python, and no file of the machine, is in its reach."""
    (tmp_path / "canary").write_text("nobody reads this")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "x").write_text(text)

    with pytest.raises(StepError, match=r"mine/x:1: "):
        template.render(folder, {"config": Config()})


@pytest.mark.parametrize("to", ["../canary", "/etc/hostname"])
def test_a_template_that_is_a_link(tmp_path: Path, to: str) -> None:
    """One to a file elsewhere would show the machine's: it is refused; one beside it is read."""
    (tmp_path / "canary").write_text("nobody reads this")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "one").write_text("text")
    (folder / "two").symlink_to("one")
    assert [made.text for made in template.render(folder, {})] == ["text", "text"]

    (folder / "x").symlink_to(to)
    with pytest.raises(StepError, match=r"mine/x: it is a link to "):
        template.render(folder, {})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{{ 1 / 0 }}\n", r"x:1: division by zero"),
        (b"a\n{{ config.service.nothing }}\n", r"x:2: .* has no attribute 'nothing'"),
        (b"{{ 'x'.encode('utf-16').decode('ascii') }}\n", r"x:1: .*codec can't decode"),
        ("schön\n".encode("latin-1"), r"x: it is no UTF-8 text \(byte 4\)"),
        (None, r"x: it is a link to no"),
    ],
)
def test_whatever_a_template_does(tmp_path: Path, data: bytes | None, said: str) -> None:
    """A mistake in it is its owner's: file and line, and no traceback."""
    path = tmp_path / "x"
    path.symlink_to("nowhere") if data is None else path.write_bytes(data)

    with pytest.raises(StepError, match=said) as caught:
        template.render(tmp_path, {"config": Config()})
    assert caught.value.hint
