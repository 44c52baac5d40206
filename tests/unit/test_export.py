"""Handing an image over: whole or not at all, and its papers are its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest

from glovebox.boards.boards import BOARDS
from glovebox.card import pack
from glovebox.card.packing import packing_of, unpack
from glovebox.config.access import AccessKeys
from glovebox.config.build import BuildConfig, Export, Packed
from glovebox.config.schema import (
    STAGES,
    BoardName,
    Network,
    Profile,
    Secret,
    StageEntry,
    User,
    Wifi,
)
from glovebox.host.monitor import Monitor
from glovebox.lock.apt import Download
from glovebox.lock.lock import Lock
from glovebox.plan.inputs import Input, InputKind, by_label
from glovebox.plan.plan import Made, Plan, Step, StepKind
from glovebox.project import compiled, export, keys, offer, private, ways
from glovebox.project.load import Loaded
from glovebox.project.opened import Project
from glovebox.store.store import Store
from telematics import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.build.builder import Builder

MADE = Made(step="image", disk_id="01234567")
STATUS = "Package: gpsd\nStatus: install ok installed\nVersion: 3.25\nArchitecture: armel\n"
REDIS = Download(url="http://x/", name="redis_8.0.2-3.dsc", size=1, sha256="0" * 64)


class FakeBuilder:
    """Stands for a builder: shows a root with a package list."""

    def __init__(self, folder: Path) -> None:
        """Make the root."""
        self.root = folder / "root"
        (self.root / "var/lib/dpkg").mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").write_text(STATUS)

    @contextmanager
    def merged(self, _name: str) -> Iterator[Path]:
        """Show it."""
        yield self.root

    @contextmanager
    def deployed(self, _name: str) -> Iterator[Path | None]:
        """Show what stages wrote to DEPLOY_DIR, if they did."""
        place = self.root.parent / "deploy"
        yield place if place.is_dir() else None


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Give a project whose layers are built."""
    config = BuildConfig()
    steps = {
        "top": Step(name="top", kind=StepKind.SUB_STAGE, key="top"),
        "image": Step(name="image", kind=StepKind.IMAGE, below="top", key="image-1"),
    }
    return Project(
        config=tmp_path / "image.yaml",
        loaded=Loaded(config=config, origins={}, warnings=()),
        board=BOARDS[config.board],
        lock=Lock(suite="trixie", epoch=1, chains={}, sources={"redis": (REDIS,)}),
        plan=Plan(
            steps=steps, disk_id=MADE.disk_id, arch="armel", epoch=1, variables={},
            images=(MADE,), chosen=MADE,
        ),
        access=AccessKeys(public=(), private=None, origin="none"),
        store=Store(root=tmp_path / "store").open(),
        monitor=Monitor(quiet=True),
        out=tmp_path / "out",
    )  # fmt: skip


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    """Give what shows the layers."""
    return cast("Builder", FakeBuilder(tmp_path))


def assembling(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Let the assembly write these bytes."""

    def assemble(_project: Project, _builder: Builder, part: Path) -> None:
        part.write_bytes(data)

    monkeypatch.setattr(export, "_assemble", assemble)


def hand_over(project: Project, builder: Builder, *, verified: bool = True) -> None:
    """Export, with nothing to prove."""
    with export.export(project, builder, verified=verified):
        pass


def names(project: Project) -> set[str]:
    """List what lies there for a user, and what does not."""
    return {path.name for path in project.out.iterdir()}


PAPERS = {
    f"glovebox-zero-w.{kind}"
    for kind in (
        "img",
        "img.bmap",
        "img.sha256",
        "manifest.json",
        "packages.txt",
        "rpi-imager-manifest",
    )
}


def test_an_image_and_its_papers(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checksums, sizes and packages are those of the image; without secrets it is for everyone."""
    assembling(monkeypatch, b"image")

    hand_over(project, builder)

    sha256 = hashlib.sha256(b"image").hexdigest()
    assert names(project) == PAPERS
    assert project.image.read_bytes() == b"image"
    assert stat.S_IMODE(project.image.stat().st_mode) == 0o644
    assert (project.out / "glovebox-zero-w.img.sha256").read_text().split()[0] == sha256
    assert (project.out / "glovebox-zero-w.packages.txt").read_text() == (
        f"gpsd 3.25 armel gpsd\nredis 8.0.2-3 compiled\ntelematics {__version__} compiled\n"
    )
    told = json.loads((project.out / "glovebox-zero-w.rpi-imager-manifest").read_text())
    assert told["os_list"][0]["extract_sha256"] == sha256
    assert told["os_list"][0]["image_download_sha256"] == sha256
    assert export.is_current(project, verified=True)


def packing(project: Project, *how: Packed) -> Project:
    """Give the same project with packed copies."""
    config = replace(project.loaded.config, export=Export(pack=how))
    return replace(project, loaded=replace(project.loaded, config=config))


@pytest.mark.needs("zstd", "xz")
def test_packed_copies(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Copies unpack to the image, their sums are told, and one nobody wants any more goes."""
    data = bytes(1 << 20) + b"image" * 1000
    assembling(monkeypatch, data)
    both = packing(project, Packed.ZST, Packed.XZ)
    hand_over(both, builder)

    for how in Packed:
        copy = export.packed(both, how)
        kind = packing_of(copy)
        assert kind is not None
        unpack(copy, kind, tmp_path / "unpacked")
        assert (tmp_path / "unpacked").read_bytes() == data
    sums = (project.out / "glovebox-zero-w.img.sha256").read_text().splitlines()
    assert [line.split()[1].partition(".")[2] for line in sums] == [
        "img", "img.zst", "img.xz", "img.bmap", "packages.txt",
    ]  # fmt: skip
    for line in sums:
        total, name = line.split()
        assert hashlib.sha256((project.out / name).read_bytes()).hexdigest() == total
    told = json.loads((project.out / "glovebox-zero-w.rpi-imager-manifest").read_text())
    entry = told["os_list"][0]
    assert entry["url"].endswith(".img.zst")
    assert (entry["extract_size"], entry["extract_sha256"]) == (len(data), sums[0].split()[0])
    assert entry["image_download_size"] == export.packed(both, Packed.ZST).stat().st_size
    assert export.is_current(both, verified=True)
    assert not export.is_current(packing(project, Packed.ZST), verified=True)
    hand_over(packing(project, Packed.ZST), builder)
    assert names(project) == PAPERS | {"glovebox-zero-w.img.zst"}
    export.packed(both, Packed.ZST).write_bytes(b"cut")
    assert not export.is_current(packing(project, Packed.ZST), verified=True)


def test_what_was_compiled_is_named(project: Project, tmp_path: Path) -> None:
    """Debian's sources have their version, those of an address their sum; the service has its own.

    A file's name has no epoch, the source itself has. A firmware file was fetched and not compiled.
    """
    fetched = [
        Input(kind=InputKind.DOWNLOAD, label="url:gpsd-3.26.tar.gz", digest="ab" * 32),
        Input(kind=InputKind.DOWNLOAD, label="firmware brcm.bin", digest="cd" * 32),
    ]
    step = Step(name="s", kind=StepKind.ON_TOOLS, key="s", inputs=by_label(fetched))
    bare = BuildConfig(stages=(StageEntry(path="base"),))

    assert compiled.listed(compiled.parts(bare, project.lock, [step], tmp_path)) == (
        f"gpsd-3.26.tar.gz sha256:{'ab' * 32} compiled\nredis 8.0.2-3 compiled\n"
    )
    (tmp_path / REDIS.sha256).write_text("Source: redis\nVersion: 5:8.0.2-3\n")
    assert compiled.listed(compiled.parts(bare, project.lock, [], tmp_path)) == (
        "redis 8.0.2-3 compiled redis (5:8.0.2-3)\n"
    )
    assert "telematics" in compiled.listed(
        compiled.parts(BuildConfig(), project.lock, [], tmp_path)
    )


@pytest.mark.thorough
@pytest.mark.parametrize("how", list(Packed))
@pytest.mark.needs("zstd", "xz")
def test_packed_to_the_same_bytes(tmp_path: Path, how: Packed) -> None:
    """However many threads pack, and where the file has holes, the bytes are the same."""
    image, other = tmp_path / "one.img", tmp_path / "other.img"
    data = b"".join(hashlib.sha256(bytes([n % 251])).digest() * 900 for n in range(1000))
    with image.open("wb") as file:
        file.write(data)
        file.truncate(60 << 20)
    other.write_bytes(image.read_bytes())
    shares: list[float] = []

    pack.pack(image, how, tmp_path / "a", tell=shares.append, threads=1)
    pack.pack(other, how, tmp_path / "b", tell=shares.append, threads=3)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert shares[-1] == 1


# Imager's own schema is used where a checkout of its source is named.
SOURCE = "IMAGER_SOURCE"
SCHEMA = Path(__file__).parent.parent / "imager/os-list.schema.json"
THEIRS = "doc/json-schema/os-list-schema.json"


def lists(project: Project) -> dict[str, dict[str, Any]]:
    """Give the list that is served, and the file for an Imager on this machine."""
    texts = offer.texts(offer.find(project.out).offers, "http://192.168.1.2:8642")
    local = (project.out / f"{project.name}.rpi-imager-manifest").read_text()
    return {"served": json.loads(texts[offer.LIST]), "local": json.loads(local)}


@pytest.mark.parametrize("board", list(BOARDS))
def test_imager_takes_the_list(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch, board: BoardName
) -> None:
    """What is offered of any board is as Imager's schema and its link want it."""
    assembling(monkeypatch, b"image")
    project = replace(project, board=BOARDS[board])
    hand_over(project, builder)

    told = lists(project)

    for one in told.values():
        jsonschema.validate(one, json.loads(SCHEMA.read_text()))
    (entry,) = told["served"]["os_list"]
    assert entry["icon"].startswith("http://")
    assert entry["website"] == "http://192.168.1.2:8642/"
    assert entry["devices"] == told["served"]["imager"]["devices"][0]["tags"]
    link = offer.link("http://192.168.1.2:8642")
    (repo,) = parse_qs(urlsplit(link).query)["repo"]
    assert re.fullmatch(r"https?://[^\s?#]+\.json", repo)


@pytest.mark.parametrize("wrong", ["rpi-preseed", "cloudinit-rpi2"])
def test_word_that_an_imager_does_not_know_is_seen(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """An entry with it would not be shown: the schema refuses it."""
    assembling(monkeypatch, b"image")
    hand_over(project, builder)
    told = lists(project)["served"]
    told["os_list"][0]["init_format"] = wrong

    with pytest.raises(jsonschema.ValidationError, match=wrong):
        jsonschema.validate(told, json.loads(SCHEMA.read_text()))


def test_imagers_own_schema(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Imager's own schema says is right, where it is there to be asked."""
    if SOURCE not in os.environ:
        pytest.skip(f"{SOURCE} does not name a checkout of Raspberry Pi Imager's source")
    assembling(monkeypatch, b"image")
    hand_over(project, builder)
    theirs = json.loads((Path(os.environ[SOURCE]) / THEIRS).read_text())

    for one in lists(project).values():
        jsonschema.validate(one, theirs)


@pytest.mark.parametrize(
    ("profile", "stages", "word"),
    [
        (Profile.CAR, STAGES, "cloudinit"),
        (Profile.BENCH, STAGES, "none"),
        (Profile.CAR, ("base", "car", "boot"), "none"),
        (Profile.HOME, ("base", "disk", "boot", "first-boot"), "cloudinit"),
    ],
)
def test_dialog_is_offered_where_it_counts(
    project: Project,
    builder: Builder,
    monkeypatch: pytest.MonkeyPatch,
    profile: Profile,
    stages: tuple[str, ...],
    word: str,
) -> None:
    """Imager asks for name, Wi-Fi and keys only where the board reads what it writes."""
    assembling(monkeypatch, b"image")
    entries = tuple(StageEntry(path=name) for name in stages)
    config = replace(project.loaded.config, profile=profile, stages=entries)
    hand_over(replace(project, loaded=replace(project.loaded, config=config)), builder)

    assert [one["os_list"][0]["init_format"] for one in lists(project).values()] == [word, word]


HASH = Secret("$6$salt$" + "a" * 86)
NETWORK = Network(ssid="garage", psk=Secret("passphrase"))


@pytest.mark.parametrize(
    ("config", "held"),
    [
        (BuildConfig(), []),
        (BuildConfig(user=User(ssh_keys=("ssh-ed25519 AAAA",))), []),
        (BuildConfig(user=User(password_hash=HASH)), ["user.password_hash"]),
        (
            BuildConfig(wifi=Wifi(country="DE", networks=(Network(ssid="open"), NETWORK))),
            ["wifi.networks[1].psk"],
        ),
        (BuildConfig(environment={"TOKEN": "x"}), ["environment"]),
        (BuildConfig(base="/srv/copy-of-a-card.img"), ["base"]),
        (BuildConfig(base="raspios"), []),
        (BuildConfig(overlays=("/srv/mine",)), ["overlays"]),
        (BuildConfig(stages=(StageEntry(path="base"), StageEntry(path="/srv/mine"))), ["stages"]),
    ],
)
def test_an_image_with_secrets_is_its_owners(
    project: Project,
    builder: Builder,
    monkeypatch: pytest.MonkeyPatch,
    config: BuildConfig,
    held: list[str],
) -> None:
    """What may hold a secret, also in files of others, only its owner reads; papers name places."""
    assembling(monkeypatch, b"image")
    project = replace(project, loaded=replace(project.loaded, config=config))
    hand_over(packing(project, Packed.ZST), builder)

    assert private.held(config) == held
    modes = {stat.S_IMODE(path.stat().st_mode) for path in project.out.glob("*.img*")}
    told = json.loads(export.papers(project).read_text())
    assert told["holds_secrets"] == held
    assert stat.S_IMODE(project.image.stat().st_mode) == (0o600 if held else 0o644)
    assert modes == ({0o600, 0o644} if held else {0o644})
    assert stat.S_IMODE(export.packed(project, Packed.ZST).stat().st_mode) == (
        0o600 if held else 0o644
    )
    assert "passphrase" not in export.papers(project).read_text()


@pytest.mark.root
def test_behind_sudo_all_is_the_callers(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who started the build by sudo owns the image and its papers, and can open them."""
    caller = keys.Caller(home=tmp_path, data_home=tmp_path, owner=(1234, 1235))
    monkeypatch.setattr(keys, "caller", lambda _environ: caller)
    assembling(monkeypatch, b"image")

    hand_over(packing(project, Packed.ZST), builder)

    owners = {(one.stat().st_uid, one.stat().st_gid) for one in project.out.iterdir()}
    assert owners == {(1234, 1235)}
    assert (project.out.stat().st_uid, project.out.stat().st_gid) == (1234, 1235)


@pytest.mark.parametrize("change", ["key", "bytes", "time", "gone", "no manifest", "half of it"])
def test_what_is_not_current(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Another plan, a touched image or a lost paper: it is made again."""
    assembling(monkeypatch, b"image")
    hand_over(project, builder)
    paper = export.papers(project)
    match change:
        case "key":
            steps = {**project.plan.steps, "image": replace(project.plan.image, key="image-2")}
            project = replace(project, plan=replace(project.plan, steps=steps))
        case "bytes":
            project.image.write_bytes(b"image and more")
        case "time":
            os.utime(project.image, (1, 1))
        case "gone":
            project.image.unlink()
        case "no manifest":
            paper.unlink()
        case _:
            paper.write_text(paper.read_text()[:40])

    assert not export.is_current(project, verified=True)


def test_unproven_is_not_current_for_who_wants_proof(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image built with --no-verify is enough for another such build alone."""
    assembling(monkeypatch, b"image")
    hand_over(project, builder, verified=False)

    assert export.is_current(project, verified=False)
    assert not export.is_current(project, verified=True)


@pytest.mark.parametrize("where", ["proof", "assembly"])
def test_a_failure_leaves_what_was_there(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """When the proof or the assembly fails, the image before and its papers stay as they were."""
    assembling(monkeypatch, b"old")
    hand_over(project, builder)
    before = {path.name: path.read_bytes() for path in project.out.iterdir()}
    assembling(monkeypatch, b"new")
    message = "failed"

    def fails(*_words: object) -> None:
        raise ValueError(message)

    if where == "assembly":
        monkeypatch.setattr(export, "_assemble", fails)
    proof = fails if where == "proof" else lambda: None
    with pytest.raises(ValueError, match=message), export.export(project, builder, verified=True):
        proof()

    assert {path.name: path.read_bytes() for path in project.out.iterdir()} == before


def test_killed_before_the_papers(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image never lies beside the papers of another; without any it is made again."""
    assembling(monkeypatch, b"old")
    hand_over(project, builder)
    assembling(monkeypatch, b"new")

    def killed(*_words: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "_write_papers", killed)
    with pytest.raises(KeyboardInterrupt):
        hand_over(project, builder)

    assert project.image.read_bytes() == b"new"
    assert names(project) == {project.image.name}
    assert not export.is_current(project, verified=False)


@pytest.mark.parametrize("damage", [b"[]", b"null", b"\xff", b"{", b'{"a":' * 100_000])
def test_a_damaged_manifest_is_none(project: Project, damage: bytes) -> None:
    """An image whose manifest cannot be read is made again; it is no error."""
    project.out.mkdir(parents=True)
    project.image.touch()
    export.papers(project).write_bytes(damage)

    assert not export.is_current(project, verified=False)


def test_what_stages_deploy_lies_beside_the_image(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is that of the last build, whole, for its owner alone; gone when nobody writes."""
    assembling(monkeypatch, b"image")
    deploy = cast("FakeBuilder", builder).root.parent / "deploy"
    (deploy / "sub").mkdir(parents=True)
    (deploy / "sub/list").write_text("one")
    hand_over(project, builder)
    target = export.deploy_folder(project)

    assert (target / "sub/list").read_text() == "one"
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    (deploy / "sub/list").rename(deploy / "other")
    (project.out / f".{project.name}.deploy-killed").mkdir()
    hand_over(project, builder)
    assert sorted(path.name for path in target.rglob("*")) == ["other", "sub"]
    shutil.rmtree(deploy)
    hand_over(project, builder)
    assert names(project) == PAPERS


def test_what_a_person_is_told(
    project: Project,
    builder: Builder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The end names the image, each way to a card, and why an image is for its owner alone."""
    assembling(monkeypatch, b"image")
    hand_over(packing(project, Packed.ZST), builder)

    ways.how_to_flash(packing(project, Packed.ZST))
    open_ = capsys.readouterr().out
    config = BuildConfig(user=User(password_hash=HASH))
    ways.how_to_flash(replace(project, loaded=replace(project.loaded, config=config)))
    secret = capsys.readouterr().out

    for word in (str(project.image), "img.zst", "./invoke flash", "./invoke serve", "dd if="):
        assert word in open_
    assert "secrets" not in open_
    assert "it may hold secrets (user.password_hash)" in secret
    assert f"--image {project.name}" in secret
