"""Keys: each input of a step changes its key and those that build on it, nothing else does."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.config.access import AccessKeys
from glovebox.config.build import BuildConfig
from glovebox.config.schema import (
    BoardName,
    Disk,
    FirmwareFile,
    Network,
    Profile,
    Queue,
    Secret,
    Server,
    StageEntry,
    User,
    Wifi,
)
from glovebox.errors import ConfigError
from glovebox.lock import apt
from glovebox.lock.lock import Lock, Package
from glovebox.plan import code, plan
from glovebox.plan.base import Base
from glovebox.plan.inputs import digests
from glovebox.project import load
from glovebox.stage import pi_gen
from glovebox.store.store import Layer

if TYPE_CHECKING:
    from collections.abc import Callable

PSK = "correct horse battery"
EPOCH = 1_700_000_000

# Every kind of action, and files that only scripts know of.
CHECKOUT = {
    "stages/car/00-gps/00-debconf": "tzdata tzdata/Areas select $AREA",
    "stages/car/00-gps/00-packages-nr": "gpsd\nchrony # the clock\n",
    "stages/car/00-gps/01-run.sh": '#!/bin/sh\necho "$TARGET_HOSTNAME"\n',
    "stages/car/00-gps/02-overlay/etc/gpsd": "speed=4800\n",
    "stages/car/00-gps/03-templates/etc/motd": "{{ config.timezone }}\n",
    "stages/car/00-gps/04-run-chroot.sh": "install files/extra /etc\n",
    "stages/car/00-gps/files/extra": "extra\n",
    "stages/car/01-queue/00-sources": "debian:$QUEUE_SERVER\npath:app\n",
    "stages/car/01-queue/00-on-tools.sh": '#!/bin/sh\necho "$OWN"\n',
    "stages/car/01-queue/01-run.sh": "#!/bin/sh\n",
    "stages/car/01-queue/files/patch": "patch\n",
    "stages/settings/00-board/00-templates/etc/user": "{{ config.user.name }}\n",
    "stages/settings/00-board/00-templates/etc/id": "{{ disk_id }}\n",
    "stages/settings/00-board/00-templates/etc/keys": "{{ access.public | join(' ') }}\n",
    "stages/settings/00-board/00-templates/etc/wifi-@wifi.networks@": "{{ item.psk | secret }}\n",
    "overlays/own/etc/issue": "my truck\n",
    "app/telematics/__init__.py": "VERSION = 1\n",
}


def package(name: str, *, version: str = "1", sha256: str = "") -> Package:
    """Make a locked package."""
    digest = sha256 or (name.encode().hex() * 64)[:64]
    return Package(
        name=name,
        version=version,
        arch="armel",
        url=f"http://example.org/{name}_{version}.deb",
        size=1,
        sha256=digest,
        stanza=f"Package: {name}\nVersion: {version}\nFilename: pool/{name}.deb",
    )


def locked() -> Lock:
    """Give a lock for the checkout."""
    download = apt.Download(url="http://example.org/r.dsc", name="r.dsc", size=1, sha256="0" * 64)
    return Lock(
        suite="trixie",
        epoch=EPOCH,
        chains={
            "target": {
                "base": (package("dpkg"),),
                "car/00-gps/00-packages-nr": (package("gpsd"), package("chrony")),
            },
            "tools": {"base": (package("dpkg"),), "tools": (package("mtools"),)},
            "emulator": {"base": (package("dpkg"),), "emulator": (package("qemu-system-arm"),)},
        },
        sources={"redis": (download,), "valkey": (download,)},
    )


@dataclass(kw_only=True)
class World:
    """All that a plan is made of; a case changes one thing in it."""

    checkout: Path
    config: BuildConfig = field(
        default_factory=lambda: BuildConfig(
            stages=(StageEntry(path="car"),),
            overlays=("own",),
            firmware=(FirmwareFile(url="http://example.org/fw/a.bin", sha256="a" * 64),),
            wifi=Wifi(country="DE", networks=(Network(ssid="garage", psk=Secret(PSK)),)),
            environment={"OWN": "one", "UNREAD": "one", "AREA": "Europe"},
        )
    )
    lock: Lock = field(default_factory=locked)
    access: AccessKeys = field(
        default_factory=lambda: AccessKeys(
            public=("ssh-ed25519 AAAA me",), private=None, origin="test"
        )
    )
    secret: bytes = b"this store's own"
    accelerate: bool = True
    imported: Base | None = None
    run: str = ""
    exports: tuple[pi_gen.Export, ...] = ()

    @classmethod
    def at(cls, checkout: Path) -> World:
        """Write the checkout and give the world around it."""
        for name, text in CHECKOUT.items():
            path = checkout / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name.endswith(".sh") else 0o644)
        return cls(checkout=checkout)

    def configure(self, **changes: object) -> None:
        """Change values of the configuration."""
        self.config = replace(self.config, **changes)  # type: ignore[arg-type]  the fields' own types

    def relock(self, chain: str, request: str, *packages: Package) -> None:
        """Change what one request adds."""
        groups = {**self.lock.chains[chain], request: packages}
        self.lock = replace(self.lock, chains={**self.lock.chains, chain: groups})

    def write(self, name: str, text: str) -> None:
        """Change or add a file of the checkout."""
        path = self.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def plan(self) -> plan.Plan:
        """Make the plan."""
        return plan.make_plan(
            self.config,
            BOARDS[self.config.board],
            self.lock,
            stages=plan.read_stages(self.config, self.checkout),
            checkout=self.checkout,
            access=self.access,
            secret=self.secret,
            accelerate=self.accelerate,
            imported=self.imported,
            exports=self.exports,
            run=self.run,
        )

    def keys(self) -> dict[str, str]:
        """Give the key of each step."""
        return {name: step.key for name, step in self.plan().steps.items()}


LAYERS = (
    "base/extract",
    "base/unpack",
    "base/configure",
    "car/00-gps",
    "car/01-queue",
    "own files",
    "settings/00-board",
    "image",
)
COMPILED = "car/01-queue/00-on-tools.sh"
NATIVE = ("tools", "emulator", "accelerator")


def upward(first: str, *more: str) -> frozenset[str]:
    """Name a layer and all that lie on it, and further steps."""
    return frozenset((*LAYERS[LAYERS.index(first) :], *more))


NOTHING: frozenset[str] = frozenset()
GPS, QUEUE = upward("car/00-gps"), upward("car/01-queue")
OWN, SETTINGS, IMAGE = upward("own files"), upward("settings/00-board"), upward("image")
BASE = upward("base/extract")
CROSS = upward("car/01-queue", COMPILED)
BUILDERS = upward("car/01-queue", COMPILED, "tools", "accelerator")

_GPS, _QUEUE = "stages/car/00-gps", "stages/car/01-queue"
# What is changed, how, and the steps that must run again for it.
CASES: dict[str, tuple[Callable[[World], object], frozenset[str]]] = {
    # Files of a stage.
    "a byte of run.sh": (lambda w: w.write(f"{_GPS}/01-run.sh", "#!/bin/sh\n:"), GPS),
    "run.sh's executable bit": (lambda w: (w.checkout / _GPS / "01-run.sh").chmod(0o644), GPS),
    "a byte of run-chroot.sh": (lambda w: w.write(f"{_GPS}/04-run-chroot.sh", ":"), GPS),
    "a debconf answer": (lambda w: w.write(f"{_GPS}/00-debconf", "x"), GPS),
    "an overlay's file": (lambda w: w.write(f"{_GPS}/02-overlay/etc/gpsd", "speed=9600"), GPS),
    "an overlay's new file": (lambda w: w.write(f"{_GPS}/02-overlay/etc/new", ""), GPS),
    "an overlay's executable bit": (
        lambda w: (w.checkout / _GPS / "02-overlay/etc/gpsd").chmod(0o755),
        GPS,
    ),
    "a file a script may read": (lambda w: w.write(f"{_GPS}/files/extra", "other"), GPS),
    "a template's text": (lambda w: w.write(f"{_GPS}/03-templates/etc/motd", "hi"), GPS),
    "a template's value": (lambda w: w.configure(timezone="Europe/Berlin"), GPS),
    "a template's executable bit": (
        lambda w: (w.checkout / _GPS / "03-templates/etc/motd").chmod(0o755),
        GPS,
    ),
    "a template's comment": (
        lambda w: w.write(f"{_GPS}/03-templates/etc/motd", "{# why #}{{ config.timezone }}\n"),
        NOTHING,
    ),
    "the accelerator kept off": (lambda w: w.write(f"{_GPS}/NO_ACCELERATOR", ""), GPS),
    "the program that compiles": (lambda w: w.write(f"{_QUEUE}/00-on-tools.sh", "#!"), CROSS),
    "a patch it compiles with": (lambda w: w.write(f"{_QUEUE}/files/patch", "other"), CROSS),
    "a script beside it": (lambda w: w.write(f"{_QUEUE}/01-run.sh", "#!/bin/sh\n:"), QUEUE),
    "a source in the checkout": (lambda w: w.write("app/telematics/__init__.py", "2"), CROSS),
    "bytecode beside a source": (
        lambda w: w.write("app/telematics/__pycache__/__init__.pyc", "2"),
        NOTHING,
    ),
    "a stage taken out": (
        lambda w: w.write(f"{_QUEUE}/SKIP", ""),
        QUEUE | {COMPILED},
    ),
    # Variables.
    "a variable a script reads": (lambda w: w.configure(hostname="van"), GPS),
    "a variable debconf reads": (
        lambda w: w.configure(environment={**w.config.environment, "AREA": "Asia"}),
        GPS,
    ),
    "a variable the compiling reads": (
        lambda w: w.configure(environment={**w.config.environment, "OWN": "two"}),
        CROSS,
    ),
    "a variable nobody reads": (
        lambda w: w.configure(environment={**w.config.environment, "UNREAD": "two"}),
        NOTHING,
    ),
    "another variable nobody reads": (
        lambda w: w.configure(environment={**w.config.environment, "MORE": "x"}),
        NOTHING,
    ),
    "the order of variables": (
        lambda w: w.configure(environment=dict(reversed(w.config.environment.items()))),
        NOTHING,
    ),
    "the server by name": (lambda w: w.configure(queue=Queue(server=Server.VALKEY)), CROSS),
    # The lock.
    "a package's version": (
        lambda w: w.relock(
            "target", "car/00-gps/00-packages-nr", package("gpsd", version="2"), package("chrony")
        ),
        GPS,
    ),
    "a package's bytes": (
        lambda w: w.relock(
            "target", "car/00-gps/00-packages-nr", package("gpsd", sha256="f" * 64),
            package("chrony"),
        ),
        GPS,
    ),
    "where a package comes from": (
        lambda w: w.relock(
            "target", "car/00-gps/00-packages-nr",
            replace(package("gpsd"), url="http://example.net/gpsd"), package("chrony"),
        ),
        NOTHING,
    ),
    "a comment in the package list": (
        lambda w: w.write(f"{_GPS}/00-packages-nr", "gpsd # reads\nchrony\n"),
        NOTHING,
    ),
    # apt marks it as wanted, so that autoremove keeps it.
    "a word that adds no package": (
        lambda w: w.write(f"{_GPS}/00-packages-nr", "gpsd\nchrony\ndpkg\n"),
        GPS,
    ),
    "a package of the base": (
        lambda w: w.relock("target", "base", package("dpkg", version="2")),
        BASE,
    ),
    "the suite": (lambda w: setattr(w, "lock", replace(w.lock, suite="forky")), BASE),
    "the build's time": (lambda w: setattr(w, "lock", replace(w.lock, epoch=EPOCH + 1)),
                         BASE | {COMPILED}),
    "a tool": (lambda w: w.relock("tools", "tools", package("mtools", version="2")), BUILDERS),
    "the emulator": (
        lambda w: w.relock("emulator", "emulator", package("qemu-system-arm", version="2")),
        frozenset({"emulator"}),
    ),
    "a source package": (
        lambda w: setattr(w, "lock", replace(w.lock, sources={
            **w.lock.sources,
            "redis": (replace(w.lock.sources["redis"][0], sha256="1" * 64),),
        })),
        CROSS,
    ),
    "a source package nobody compiles": (
        lambda w: setattr(w, "lock", replace(w.lock, sources={
            **w.lock.sources,
            "valkey": (replace(w.lock.sources["redis"][0], sha256="1" * 64),),
        })),
        NOTHING,
    ),
    "a warning of the lock": (
        lambda w: setattr(w, "lock", replace(w.lock, warnings=("older",))),
        NOTHING,
    ),
    # The owner's files.
    "an own overlay": (lambda w: w.write("overlays/own/etc/issue", "van"), OWN),
    "an own overlay's name": (
        lambda w: (
            (w.checkout / "overlays/own").rename(w.checkout / "overlays/mine"),
            w.configure(overlays=("mine",)),
        ),
        NOTHING,
    ),
    "a firmware file's bytes": (
        lambda w: w.configure(firmware=(replace(w.config.firmware[0], sha256="b" * 64),)),
        OWN,
    ),
    "where a firmware file comes from": (
        lambda w: w.configure(
            firmware=(replace(w.config.firmware[0], url="http://example.net/a.bin"),)
        ),
        NOTHING,
    ),
    # The settings.
    "the user": (lambda w: w.configure(user=User(name="driver")), SETTINGS),
    "who may log in": (
        lambda w: setattr(w, "access", replace(w.access, public=("ssh-ed25519 BBBB me",))),
        SETTINGS,
    ),
    "where the private key lies": (
        lambda w: setattr(w, "access", replace(w.access, private=Path("/x"), origin="y")),
        NOTHING,
    ),
    "a passphrase": (
        lambda w: w.configure(
            wifi=Wifi(country="DE", networks=(Network(ssid="garage", psk=Secret("other")),))
        ),
        SETTINGS,
    ),
    "this store's secret": (lambda w: setattr(w, "secret", b"another"), SETTINGS),
    # The card.
    "the boot partition": (lambda w: w.configure(disk=Disk(boot=256 << 20)), IMAGE),
    "the root partition": (lambda w: w.configure(disk=Disk(root=4 << 30)), IMAGE),
    "the room left": (lambda w: w.configure(disk=Disk(root_free=1 << 30)), IMAGE),
    # What is no input at all.
    "the mirror": (lambda w: w.configure(mirror="http://example.net/debian"), NOTHING),
    "no accelerator": (lambda w: setattr(w, "accelerate", False), frozenset({"accelerator"})),
    "the times of files": (
        lambda w: [os.utime(path, (1, 1)) for path in w.checkout.rglob("*")],
        NOTHING,
    ),
    "the modes a umask gives": (
        lambda w: [
            path.chmod(path.stat().st_mode & 0o700)
            for path in w.checkout.rglob("*")
            if path.is_file()
        ],
        NOTHING,
    ),
    "the place of the checkout": (
        lambda w: (
            w.checkout.rename(w.checkout.with_name("elsewhere")),
            setattr(w, "checkout", w.checkout.with_name("elsewhere")),
        ),
        NOTHING,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_runs_again(tmp_path: Path, name: str) -> None:
    """Each input changes the keys of the steps that build on it; what is no input changes none."""
    change, expected = CASES[name]
    world = World.at(tmp_path / "checkout")
    before = world.keys()

    change(world)

    after = world.keys()
    changed = {step for step in before | after if before.get(step) != after.get(step)}
    assert changed == set(expected)


def test_the_machine_is_no_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of processors, the umask, the working folder and the environment do not count."""
    world = World.at(tmp_path)
    before = world.keys()

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.chdir("/")
    monkeypatch.setenv("TARGET_HOSTNAME", "not mine")
    old = os.umask(0o077)
    try:
        after = world.keys()
    finally:
        os.umask(old)

    assert after == before


def test_another_board_is_another_image(tmp_path: Path) -> None:
    """A board of another architecture shares only what runs on the build machine."""
    world = World.at(tmp_path)
    before = world.keys()

    world.configure(board=BoardName.PI_3)

    # No variable of the board is read by these stages, and this lock is not resolved anew.
    after = world.keys()
    assert before["accelerator"] != after["accelerator"]
    assert before["tools"] == after["tools"]


def test_every_key_differs(tmp_path: Path) -> None:
    """No two steps share a key, and each is a sha256."""
    keys = World.at(tmp_path).keys()

    assert set(keys) == {*LAYERS, *NATIVE, COMPILED}
    assert len(set(keys.values())) == len(keys)
    assert all(len(key) == 64 and int(key, 16) >= 0 for key in keys.values())


def test_an_imported_image_has_a_time_too(tmp_path: Path) -> None:
    """On an image as base the build's time counts from the first layer on, not in the import."""
    layer = Layer(key="e" * 64, path=tmp_path / "layer")
    base = Base(layer=layer, digest="d", arch="armel", suite="trixie", boot="boot")
    world = World.at(tmp_path / "checkout")
    world.imported = base
    before = world.keys()

    world.lock = replace(world.lock, epoch=EPOCH + 1)

    after = world.keys()
    assert before["base/import"] == after["base/import"] == layer.key
    assert {name for name in before if before[name] != after[name]} == GPS | {COMPILED}


def plain_hashes(rendered: str) -> set[str]:
    """Give every hash of a text that a plan would hold if it did not protect it."""
    from hashlib import sha256  # noqa: PLC0415  the attacker's tool, not the test's

    from glovebox.host import files  # noqa: PLC0415  the same

    return {
        maker(text)
        for text in (rendered, rendered.strip(), f"False\n{rendered}")
        for maker in (files.digest, lambda one: sha256(one.encode()).hexdigest())
    }


def test_a_passphrase_cannot_be_guessed_from_a_plan(tmp_path: Path) -> None:
    """Neither the passphrase nor a hash of it that anyone could compute stands in a plan."""
    world = World.at(tmp_path)

    made = world.plan()

    shown = repr(made)
    assert PSK not in shown
    step = made.steps["settings/00-board"]
    assert PSK in step.rendered["00"][-1].text
    assert not plain_hashes(f"{PSK}\n") & set(digests(step.inputs).values())
    world.secret = b"another store's"
    other = world.plan().steps["settings/00-board"].inputs
    name = "00-templates/etc/wifi-1"
    assert other[name].digest != step.inputs[name].digest


def test_the_owner_s_templates_are_filled(tmp_path: Path) -> None:
    """They are rendered where overlays are laid; text, values and the store's secret count."""
    world = World.at(tmp_path)
    before = world.keys()
    name = "templates/mine/etc/truck"
    world.write(name, "{{ config.timezone }} {{ config.wifi.networks[0].psk | secret }}\n")
    world.configure(templates=("mine",))
    first = world.plan()
    world.configure(timezone="Europe/Berlin")
    second = world.plan()
    world.secret = b"another store's"

    assert {name for name, key in before.items() if first.steps[name].key != key} == OWN
    (made,) = first.steps["own files"].rendered["template 0"]
    assert (made.name, made.text) == ("etc/truck", f"Etc/UTC {PSK}\n")
    assert second.steps["own files"].key != first.steps["own files"].key
    assert world.keys()["own files"] != second.steps["own files"].key
    digest = first.steps["own files"].inputs["template 0/etc/truck"].digest
    assert digest not in plain_hashes(f"{made.program}\n{made.text}")


def test_modes_of_the_owner_s_templates_count(tmp_path: Path) -> None:
    """A list beside a folder of templates is an input like one beside an overlay."""
    world = World.at(tmp_path)
    world.write("templates/mine/etc/truck", "x\n")
    world.configure(templates=("mine",))
    before = world.plan().steps["own files"]

    world.write("templates/mine.modes", "0600 - etc/truck\n")
    after = world.plan().steps["own files"]

    assert before.key != after.key
    assert after.inputs.keys() - before.inputs.keys() == {"modes of template 0"}
    assert after.templates == (tmp_path / "templates/mine",)


def test_identifiers_follow_from_the_plan(tmp_path: Path) -> None:
    """Identifiers are the same for the same plan, differ by purpose, and hold no settings."""
    world = World.at(tmp_path)
    one, same = world.plan(), world.plan()
    world.configure(user=User(name="driver"))
    personal = world.plan()
    world.configure(hostname="van")
    another = world.plan()

    assert one.disk_id == same.disk_id == personal.disk_id != another.disk_id
    assert int(one.disk_id, 16) > 0
    assert len(one.disk_id) == 8
    names = ("boot", "root", "hash seed")
    assert len({plan.identifier(one, name) for name in names}) == len(names)
    assert plan.identifier(one, "root") == plan.identifier(same, "root")
    assert plan.identifier(one, "root") != plan.identifier(another, "root")


def test_layers_lie_on_each_other(tmp_path: Path) -> None:
    """The layers of the top are all layers, lowest first; those beneath a step are its own."""
    made = World.at(tmp_path).plan()

    assert [step.name for step in made.layers(made.top.name)] == list(LAYERS[:-1])
    assert [step.name for step in made.layers("base/unpack")] == ["base/extract", "base/unpack"]


# What stands, and what has to run for the image then.
ORDERS: dict[str, tuple[set[str], list[str]]] = {
    "nothing stands": (
        set(),
        ["base/extract", "tools", "accelerator", "base/unpack", "base/configure",
         "car/00-gps", COMPILED, "car/01-queue", "own files", "settings/00-board", "image"],
    ),
    "all stands": ({*LAYERS[:-1], *NATIVE, COMPILED}, ["image"]),
    "after the last layer that stands": (
        {*LAYERS[:4], *NATIVE, COMPILED},
        ["car/01-queue", "own files", "settings/00-board", "image"],
    ),
    # A layer that stands is of no use without those beneath it.
    "a lower layer is gone": ({*LAYERS[:-1], *NATIVE, COMPILED} - {"base/unpack"},
                              ["base/unpack", "image"]),
    "only a helper is gone": ({*LAYERS[:-1], "tools", "emulator", COMPILED}, ["image"]),
    "what was compiled is gone, its user stands": (
        {*LAYERS[:-1], *NATIVE},
        ["image"],
    ),
    "what was compiled is gone, and so is its user": (
        {*LAYERS[:4], *LAYERS[5:-1], *NATIVE},
        [COMPILED, "car/01-queue", "image"],
    ),
    "the tools are gone": ({*LAYERS[:-1]}, ["tools", "image"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_order(tmp_path: Path, name: str) -> None:
    """What is missing runs, after all that it needs; what only standing steps needed does not."""
    standing, expected = ORDERS[name]
    made = World.at(tmp_path).plan()

    steps = [step.name for step in plan.order(made, ["image"], frozenset(standing))]

    assert set(steps) == set(expected)
    place = {step: number for number, step in enumerate(steps)}
    assert all(
        place[need] < place[step]
        for step in steps
        for need in made.needs(step)
        if need not in standing
    )


def test_without_an_accelerator_none_is_made(tmp_path: Path) -> None:
    """A plan without it neither makes it nor waits for it."""
    world = World.at(tmp_path)
    world.accelerate = False

    steps = [step.name for step in plan.order(world.plan(), ["image"], frozenset())]

    assert "accelerator" not in steps


def test_chains_hold_what_the_stages_ask_for(tmp_path: Path) -> None:
    """Each package list is one request, in the order of the stages, after the base."""
    world = World.at(tmp_path)
    subs = plan.read_stages(world.config, world.checkout)
    board = BOARDS[world.config.board]

    target, tools, emulator = plan.chains(board, subs, {})

    assert [(one.name, one.packages, one.recommends) for one in target.requests] == [
        ("base", plan.BASE_PACKAGES, False),
        ("car/00-gps/00-packages-nr", ("gpsd", "chrony"), False),
    ]
    assert target.arch == "armel"
    assert "gcc-arm-linux-gnueabi" in tools.requests[1].packages
    assert tools.arch == emulator.arch != "armel"


def test_an_imported_image_brings_its_packages(tmp_path: Path) -> None:
    """On an image as base there is no base to install; what it has counts as installed."""
    world = World.at(tmp_path)
    subs = plan.read_stages(world.config, world.checkout)

    target = plan.chains(BOARDS[world.config.board], subs, {}, installed="Package: dpkg\n")[0]

    assert [one.name for one in target.requests] == ["car/00-gps/00-packages-nr"]
    assert target.installed == "Package: dpkg\n"


def test_source_names(tmp_path: Path) -> None:
    """Source packages are found once each, by the variables; sources of the checkout are none."""
    world = World.at(tmp_path)
    world.write(f"{_QUEUE}/05-sources", "debian:redis debian:quilt\n# debian:none\n")
    subs = plan.read_stages(world.config, world.checkout)

    assert plan.source_names(subs, {"QUEUE_SERVER": "redis"}) == ("redis", "quilt")


def test_variables_are_pi_gens() -> None:
    """An existing stage finds pi-gen's names; the owner's own variables win over all."""
    config = BuildConfig(hostname="van", environment={"RELEASE": "mine", "EXTRA": "x"})

    given = pi_gen.variables(config, BOARDS[config.board])

    assert given["TARGET_HOSTNAME"] == "van"
    assert given["RELEASE"] == "mine"
    assert given["EXTRA"] == "x"
    assert given["CROSS_COMPILE"] == "arm-linux-gnueabi-"


def test_a_volatile_stage_runs_in_every_build(tmp_path: Path) -> None:
    """Another run changes the keys of its steps and of all above; of no other stage's."""
    world = World.at(tmp_path)
    before = world.keys()
    world.run = "1"
    assert world.keys() == before

    world.configure(stages=(StageEntry(path="car", volatile=True),))
    one = world.keys()
    world.run = "2"
    two = world.keys()

    assert {name for name in one if one[name] != two[name]} == GPS | {COMPILED}


def test_several_images(tmp_path: Path) -> None:
    """Each has its own settings and identifier on the layers up to its stage, and no others."""
    world = World.at(tmp_path)
    world.write("stages/more/00-a/00-run.sh", "#!/bin/sh")
    world.write("stages/late/00-a/00-run.sh", "#!/bin/sh")
    world.configure(stages=tuple(StageEntry(path=name) for name in ("car", "more", "late")))
    alone = world.plan()
    world.exports = (
        pi_gen.Export(stage="car", suffix="-lite"), pi_gen.Export(stage="more", suffix="-full")
    )  # fmt: skip

    made = world.plan()

    lite, full = (made.of(one) for one in made.images)
    assert [one.suffix for one in made.images] == ["-lite", "-full"]
    assert [step.name for step in lite.layers(lite.top.name)][-3:] == [
        "car/01-queue", "own files (car)", "settings/00-board (car)"
    ]  # fmt: skip
    assert [step.name for step in full.layers(full.top.name)][-4:] == [
        "car/01-queue", "more/00-a", "own files", "settings/00-board"
    ]  # fmt: skip
    assert made.image == full.image != lite.image
    assert made.disk_id == full.disk_id != lite.disk_id
    assert "late/00-a" not in made.steps
    # One image of all stages is made as if nothing had been exported.
    world.exports = (pi_gen.Export(stage="late"),)
    assert world.plan().steps == alone.steps


def test_a_skipped_stage_can_be_exported(tmp_path: Path) -> None:
    """The image is that of the layers before it."""
    world = World.at(tmp_path)
    world.write("stages/more/SKIP", "")
    world.write("stages/more/00-a/00-run.sh", "#!/bin/sh")
    world.configure(stages=(StageEntry(path="car"), StageEntry(path="more")))
    world.exports = (pi_gen.Export(stage="more", suffix="-x"),)

    made = world.plan()

    assert [step.name for step in made.layers(made.top.name)] == list(LAYERS[:-1])


def test_a_compiling_program_that_asks_for_the_target(tmp_path: Path) -> None:
    """One that names SYSROOT depends on the root below its sub-stage, any other does not."""
    world = World.at(tmp_path)
    gps = f"{_GPS}/01-run.sh"
    world.write(f"{_QUEUE}/00-on-tools.sh", "#!/bin/sh\ngcc --sysroot=$SYSROOT\n")
    before = world.plan()
    world.write(gps, "#!/bin/sh\n:")
    after = world.plan()

    world.write(f"{_QUEUE}/00-on-tools.sh", "export PKG_CONFIG_SYSROOT_DIR=$LIBRARIES\n")

    assert world.plan().steps[COMPILED].uses == ("tools",)
    assert before.steps[COMPILED].uses == ("tools", "car/00-gps")
    assert before.steps[COMPILED].key != after.steps[COMPILED].key
    assert set(LAYERS[:4]) <= set(before.needs(COMPILED))


def test_a_file_from_an_address_counts_by_its_sum(tmp_path: Path) -> None:
    """Another sum compiles again, another mirror does not."""
    world = World.at(tmp_path)
    listing = f"{_QUEUE}/00-sources"
    keys = []
    for text in (f"http://a.example.org/x sha256:{'1' * 64}",
                 f"http://b.example.org/x http://a.example.org/x sha256:{'1' * 64}",
                 f"http://a.example.org/x sha256:{'2' * 64}"):  # fmt: skip
        world.write(listing, text)
        keys.append(world.keys()[COMPILED])

    assert keys[0] == keys[1] != keys[2]


def test_the_owners_variables_are_not_written_down(tmp_path: Path) -> None:
    """A value of `environment:` stands in no input in clear, nor as a hash made at no cost."""
    world = World.at(tmp_path)
    world.configure(environment={**world.config.environment, "AREA": "geheim"})

    inputs = digests(world.plan().steps["car/00-gps"].inputs)

    assert inputs["$AREA"] != "geheim"
    assert not plain_hashes("geheim") & set(inputs.values())
    assert inputs["$TARGET_HOSTNAME"] == "glovebox"


@pytest.mark.parametrize("profile", list(Profile))
def test_what_needs_a_car_s_disk(profile: Profile) -> None:
    """Without a data partition there is neither its stage nor a file for the owner on the card."""
    config = BuildConfig(profile=profile)
    names = [one.name for one in plan.read_stages(config, load.CHECKOUT)]

    assert ("car" in names) is config.car
    assert ("first-boot" in names) is config.survives_cuts


@pytest.mark.parametrize(
    ("profile", "taken"),
    [
        (Profile.CAR, ["car", "first-boot"]),
        (Profile.HOME, ["disk", "first-boot"]),
        (Profile.BENCH, []),
    ],
)
def test_whose_disk_it_is(profile: Profile, taken: list[str]) -> None:
    """A car's stage brings its disk, a home's is that part alone; on a bench there is neither."""
    listed = tuple(StageEntry(path=name) for name in ("disk", "car", "boot", "first-boot"))
    config = BuildConfig(base="other.img", profile=profile, stages=listed)

    names = [one.name for one in plan.read_stages(config, load.CHECKOUT)]

    assert [name for name in names if name not in ("boot", "settings")] == taken
    assert config.survives_cuts is bool(taken)


def test_the_home_s_image() -> None:
    """The second image of this checkout is one more configuration, of shipped stages alone."""
    loaded = load.load(load.CHECKOUT / "images/home-base.yaml")

    names = [one.name for one in plan.read_stages(loaded.config, load.CHECKOUT)]

    assert names == ["base", "python", "disk", "boot", "first-boot", "home", "settings"]
    assert loaded.config.survives_cuts
    assert not loaded.config.car


@pytest.mark.parametrize(("base", "first"), [("debian", "base"), ("raspios", "raspios")])
def test_what_brings_a_base_to_where_stages_begin(base: str, first: str) -> None:
    """The list in image.yaml is the same: on Raspberry Pi OS its own stage is meant by `base`."""
    names = [one.name for one in plan.read_stages(BuildConfig(base=base), load.CHECKOUT)]

    assert names[0] == first
    assert names[1:-1] == [entry.path for entry in BuildConfig().stages][1:]


def test_two_stages_of_one_name(tmp_path: Path) -> None:
    """Their layers would be taken for each other's: the error names both folders."""
    world = World.at(tmp_path)
    world.write("elsewhere/car/00-a/00-run.sh", "#!/bin/sh")
    world.configure(
        stages=(StageEntry(path="car"), StageEntry(path=str(tmp_path / "elsewhere/car")))
    )

    with pytest.raises(ConfigError, match="two are called car"):
        world.plan()


def test_patches_bring_quilt(tmp_path: Path) -> None:
    """Only where a stage has patches is a native root with quilt made; its sub-stage needs it."""
    world = World.at(tmp_path)
    board = BOARDS[world.config.board]
    subs = plan.read_stages(world.config, world.checkout)
    assert [one.name for one in plan.chains(board, subs, {})] == ["target", "tools", "emulator"]

    world.write(f"{_GPS}/05-patches/series", "")
    subs = plan.read_stages(world.config, world.checkout)
    quilt = plan.chains(board, subs, {})[-1]
    assert (quilt.name, quilt.requests[1].packages) == ("quilt", ("quilt",))
    world.lock = replace(world.lock, chains={**world.lock.chains, "quilt": {"quilt": ()}})
    assert world.plan().steps["car/00-gps"].uses == ("quilt",)


def test_tools_of_a_compiling_program(tmp_path: Path) -> None:
    """Each list is resolved on the same native root; another answer compiles again."""
    world = World.at(tmp_path)
    board = BOARDS[world.config.board]
    listing = f"{_QUEUE}/00-tools"
    world.write(listing, "$MAKER # what makes it")

    chain = plan.chains(board, plan.read_stages(world.config, tmp_path), {"MAKER": "scons"})[-1]

    assert chain.name == "tools of car/01-queue/00"
    assert [one.packages for one in chain.requests][-1] == ("scons",)
    assert chain.requests[1].packages[: len(plan.TOOLS_PACKAGES)] == plan.TOOLS_PACKAGES
    before = world.keys()
    more = {chain.name: {"00-tools": (package("scons"),)}}
    world.lock = replace(world.lock, chains={**world.lock.chains, **more})
    after = world.keys()
    assert {name for name in after if before[name] != after[name]} == CROSS


def test_libraries_of_a_compiled_program(tmp_path: Path) -> None:
    """They are the target's, resolved beside nothing; another answer compiles again."""
    world = World.at(tmp_path)
    board = BOARDS[world.config.board]
    world.write(f"{_QUEUE}/00-libraries", "libssl-dev\nzlib1g-dev")

    chain = plan.chains(board, plan.read_stages(world.config, tmp_path), {})[-1]

    assert (chain.name, chain.arch) == ("libraries of car/01-queue/00", "armel")
    assert [one.packages for one in chain.requests] == [("libssl-dev", "zlib1g-dev")]
    before = world.keys()
    more = {chain.name: {"00-libraries": (package("libssl-dev"),)}}
    world.lock = replace(world.lock, chains={**world.lock.chains, **more})
    after = world.keys()
    assert {name for name in after if before[name] != after[name]} == CROSS


TOOLS_NUMBERS = {
    plan.StepKind.NATIVE_ROOT: BUILDERS | {"emulator"},
    plan.StepKind.ACCELERATOR: frozenset({"accelerator"}),
}


@pytest.mark.parametrize("kind", TOOLS_NUMBERS)
def test_a_tools_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: plan.StepKind
) -> None:
    """Code that makes something else of the tools' packages runs these steps by its number."""
    world = World.at(tmp_path / "checkout")
    before = world.keys()
    monkeypatch.setitem(plan.TOOL_VERSIONS, kind, plan.TOOL_VERSIONS[kind] + 1)
    after = world.keys()

    assert {name for name in before if before[name] != after[name]} == TOOLS_NUMBERS[kind]


def test_another_builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other code of the builder makes everything anew that goes into an image, and no tools."""
    world = World.at(tmp_path / "checkout")
    before = world.keys()
    monkeypatch.setattr(code, "of_this_builder", lambda: "another")
    after = world.keys()

    same = {name for name in before if before[name] == after[name]}
    assert same == {"tools", "emulator", "accelerator"}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("build/layer.py", True),
        ("build/stage_site.sh", True),
        ("host/inside.py", True),
        ("host/clock.c", True),
        ("stage/modes.py", True),
        ("build/new.py", True),
        ("build/.layer.py.swp", False),
        ("build/__pycache__/layer.cpython-311.pyc", False),
        ("trials/bench.py", False),
        ("project/show.py", False),
    ],
)
def test_what_counts_of_the_builder(tmp_path: Path, name: str, *, counts: bool) -> None:
    """A source in a room that a result is made by is another builder; nothing else is."""
    package = tmp_path / "glovebox"
    shutil.copytree(
        Path(code.__file__).parents[1], package, ignore=shutil.ignore_patterns("__pycache__")
    )
    before = code.digest(package)
    path = package / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\n")

    assert (code.digest(package) != before) is counts


def test_what_the_accelerator_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other twins are another accelerator, and change no result: it only makes steps faster."""
    world = World.at(tmp_path / "checkout")
    before = world.keys()
    monkeypatch.setattr(plan, "ACCELERATOR_PACKAGES", ("bash",))
    after = world.keys()

    assert {name for name in before if before[name] != after[name]} == {"accelerator"}
