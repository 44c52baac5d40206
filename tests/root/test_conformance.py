"""pi-gen's stage format, rule by rule: small stages run, and what they leave is compared.

The rules are data in tests/conformance, so that pi-gen itself can be asked the same.
"""

from __future__ import annotations

import functools
import os
import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.boards.boards import BOARDS, Board
from glovebox.build.builder import Builder
from glovebox.config.access import AccessKeys
from glovebox.config.build import BuildConfig
from glovebox.config.schema import BoardName, StageEntry, User
from glovebox.errors import GloveboxError, StepError
from glovebox.host.arch import host_arch
from glovebox.host.monitor import Monitor
from glovebox.host.run import run
from glovebox.lock import apt, lock
from glovebox.lock.lock import Lock
from glovebox.plan import plan
from glovebox.plan.base import Base
from glovebox.stage import check as stage_check, pi_gen, stage
from glovebox.store import store
from glovebox.store.store import Store
from tests.root.tools import suite_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.root, pytest.mark.needs("unshare", "setpriv", "mmdebstrap")]

RULES = Path(__file__).resolve().parent.parent / "conformance"
EPOCH = 1_700_000_000
SUITE = "trixie"


class Ears(Monitor):
    """Hears warnings, and everything that goes to the log."""

    def __init__(self) -> None:
        """Print nothing."""
        super().__init__(quiet=True)
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.warnings.append(text)


def own_board() -> Board:
    """Give a board of this machine's processor: the rules need no emulation."""
    real = BOARDS[BoardName.PI_3]
    return replace(real, title="here", arch=host_arch(), kernel="", dtb="", imager_tags=())


@functools.cache
def base() -> Base:
    """Take the native root that a build left in the store: a Debian with apt."""
    tree = suite_tools().tree
    layer = store.Layer(key=tree.parent.name, path=tree.parent)
    return Base(layer=layer, digest="", arch=host_arch(), suite=SUITE, boot="boot/firmware")


@pytest.fixture(scope="module")
def kept() -> Store:
    """Give the caller's own store: indices, packages and quilt are not fetched for every rule."""
    return Store(root=store.default_root()).open()


def lines(path: Path) -> list[str]:
    """Give the lines of a file that may not be there."""
    return path.read_text().splitlines() if path.exists() else []


class Conformance:
    """One rule, planned as a build of its stages on top of the native root."""

    def __init__(self, rule: Path, kept: Store) -> None:
        """Read the rule and make its plan."""
        self.rule = rule
        self.ears = Ears()
        names = lines(rule / "list") or sorted(path.name for path in (rule / "stages").iterdir())
        given = pi_gen.source(rule / "config", {}) if (rule / "config").exists() else {}
        config = BuildConfig(
            board=own_board().name,
            stages=tuple(
                StageEntry(
                    path=str(rule / "stages" / name),
                    network=name in lines(rule / "network"),
                )
                for name in names
            ),
            user=User(name=given.pop("FIRST_USER_NAME", "pi")),
            environment=given,
        )
        stages = plan.read_stages(config, RULES.parent.parent)
        variables = pi_gen.variables(config, own_board())
        exports = pi_gen.exports(stages, variables)
        self.ears.warnings += stage_check.warnings(stages, pi_gen.dated(variables, 0), exports)
        # The settings are not run: they are for a system with a user and a kernel.
        self.lock = self._lock(stages[:-1], variables, kept)
        self.plan = plan.make_plan(
            config,
            own_board(),
            self.lock,
            stages=stages,
            checkout=RULES.parent.parent,
            access=AccessKeys(public=(), private=None, origin="test"),
            secret=b"",
            accelerate=False,
            imported=base(),
            exports=exports,
        )
        self.names = [one.name for one in stages[:-1]]
        self.store = kept

    def _lock(self, stages: Sequence[stage.Stage], variables: dict[str, str], kept: Store) -> Lock:
        chains = {
            one.name: one
            for one in plan.chains(own_board(), stages, variables, installed=base().status)
        }
        empty = {chain: {"base": (), chain: ()} for chain in (plan.TOOLS, plan.EMULATOR)}
        wanted = [chains[plan.TARGET]]
        if any(sub.of(stage.Kind.ON_TOOLS) for sub in stage.all_of(stages)):
            wanted.append(chains[plan.TOOLS])  # the very root that a build left
        if plan.QUILT in chains:
            wanted.append(chains[plan.QUILT])
        wheels = plan.wheel_lists(stages)
        if len(wanted) == 1 and not wanted[0].requests and not wheels:
            return Lock(suite=SUITE, epoch=EPOCH, chains={plan.TARGET: {}, **empty})
        found = lock.resolve(
            kept, suite=SUITE, mirror=apt.host_mirror(), chains=wanted, sources=(),
            wanted_wheels=wheels,
        )  # fmt: skip
        return Lock(suite=SUITE, epoch=EPOCH, chains={**empty, **found.chains}, wheels=found.wheels)

    def builder(self) -> Builder:
        """Give what runs it."""
        return Builder(
            plan=self.plan, lock=self.lock, store=self.store, monitor=self.ears,
            checkout=RULES.parent.parent,
        )  # fmt: skip

    def last(self) -> str:
        """Give the last step that is not of the settings."""
        steps = self.plan.layers(self.plan.image.name)
        return [one.name for one in steps if not one.name.startswith(("settings/", "image"))][-1]

    def forget(self) -> None:
        """Take the rule's layers out of the store again."""
        for step in self.plan.steps.values():
            found = self.store.find(step.key)
            if found and step.kind is plan.StepKind.SUB_STAGE:
                self.store.remove(found)


@pytest.mark.parametrize("name", sorted(path.name for path in RULES.glob("*/")))
def test_rule(name: str, kept: Store) -> None:
    """The stages of the rule leave what the rule says, or end the build with the words it names."""
    rule = RULES / name
    fails, warned = lines(rule / "fails"), lines(rule / "warns")
    with ExitStack() as stack:
        if fails:
            with pytest.raises(GloveboxError, match=fails[0]):
                build(rule, kept, stack)
            return
        made = build(rule, kept, stack)
        with made.builder().merged(made.last()) as root:
            found = run([RULES / "compare", rule, root], check=False)
        assert found.returncode == 0, found.stdout
        with made.builder().deployed(made.last()) as place:
            assert lines(rule / "deploy") == (lines(place / "list") if place else [])
        for pattern in warned:
            assert [one for one in made.ears.warnings if pattern in one], made.ears.warnings
        assert bool(warned) == bool(made.ears.warnings)
        if (rule / "images").exists():
            steps = [(one.suffix, made.plan.layers(one.step)) for one in made.plan.images]
            last = [(suffix, below[-3].name) for suffix, below in steps]
            assert [f"{suffix} {name}" for suffix, name in last] == lines(rule / "images")
        again = Conformance(rule, kept)
        assert {one.name: one.key for one in again.plan.steps.values()} == {
            one.name: one.key for one in made.plan.steps.values()
        }


def build(rule: Path, kept: Store, stack: ExitStack) -> Conformance:
    """Build the stages of a rule; its layers are gone when the stack ends."""
    made = Conformance(rule, kept)
    stack.callback(made.forget)
    made.builder().build([made.last()])
    return made


def test_every_rule_is_said() -> None:
    """Each rule names its section and itself, shows it by an effect, and stands in the list."""
    listed = (RULES / "README.md").read_text()
    for rule in RULES.glob("*/"):
        section, sentence = (rule / "rule").read_text().splitlines()
        assert re.fullmatch(r"2\.\d(\.\d)?", section)
        assert sentence.endswith(".")
        assert any((rule / name).exists() for name in ("expect", "absent", "fails", "images"))
        assert f"| {section} | `{rule.name}` |" in listed
    assert os.access(RULES / "compare", os.X_OK)


@pytest.mark.long
def test_installs_from_a_real_archive(kept: Store, tmp_path: Path) -> None:
    """With network: true a list and a script install from Debian's archive, signed as it is.

    Which one that is, the build machine's own apt says.
    """
    stage_a = tmp_path / "stages/stage-a"
    for name, text in {
        "prerun.sh": '#!/bin/bash -e\nif [ ! -d "$ROOTFS_DIR" ]; then copy_previous; fi\n',
        "00-sub/00-run-chroot.sh": (
            "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*\n"
            f'echo "deb [signed-by={apt.KEYRING}] $MIRROR {SUITE} main" >/etc/apt/sources.list\n'
            "apt-get update\n"
        ),
        "01-sub/00-packages-nr": "hello\n",
        "01-sub/01-run-chroot.sh": (
            "mkdir /result\nhello --traditional >/result/said\napt-get update\n"
            "apt-get install --yes --no-install-recommends sl\ntest -x /usr/games/sl\n"
        ),
    }.items():
        path = stage_a / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (tmp_path / "network").write_text("stage-a\n")
    (tmp_path / "config").write_text(f"MIRROR='{apt.host_mirror().main}'\n")
    with ExitStack() as stack:
        made = build(tmp_path, kept, stack)
        with made.builder().merged(made.last()) as root:
            assert (root / "result/said").read_text() == "hello, world\n"
            status = (root / "var/lib/dpkg/status").read_text()
            lists = root / "var/lib/apt/lists"
            assert not lists.exists() or not list(lists.glob("*_Packages"))

    for name in ("hello", "sl"):
        assert f"Package: {name}\nStatus: install ok installed\n" in status
    (step,) = [one for one in made.plan.steps.values() if one.name.endswith("01-sub")]
    assert any("network: true" in one for one in step.untracked)


@pytest.mark.parametrize("kind", ["latin-1", "a program"])
def test_a_script_that_is_no_text(kind: str, kept: Store, tmp_path: Path) -> None:
    """A run.sh in another encoding, or a binary, fails with its own words and its own place."""
    script = tmp_path / "stages/stage-a/00-sub/00-run.sh"
    script.parent.mkdir(parents=True)
    if kind == "latin-1":
        script.write_bytes("#!/bin/bash -e\n# größer\necho schön\nfalse\n".encode("latin-1"))
    else:
        script.write_bytes(Path("/bin/false").read_bytes())
    script.chmod(0o755)
    place = r"stage-a/00-sub/00-run\.sh:4" if kind == "latin-1" else r"stage-a/00-sub/00-run\.sh"

    with ExitStack() as stack, pytest.raises(StepError, match=rf"^{place} failed after"):
        build(tmp_path, kept, stack)
