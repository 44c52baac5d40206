"""The official image: the newest of the list, fetched once, proven, and never another one."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import ssl
import urllib.error
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from glovebox.boards.boards import BOARDS
from glovebox.build import imported
from glovebox.card.first_start import Doer, FirstStart, How, Job
from glovebox.config.build import RaspiOs
from glovebox.errors import ConfigError, HostError, LockError
from glovebox.host import sandbox
from glovebox.host.monitor import Monitor
from glovebox.lock import download, lock, official, raspios, signature
from glovebox.lock.official import OfficialImage
from glovebox.plan import needs, plan
from glovebox.plan.base import Base
from glovebox.project import opened, show, sound, story
from glovebox.project.load import load
from glovebox.store.store import Layer, Store
from tests.raspios_server import (
    FOLDER,
    IMAGE,
    NAME,
    OTHER,
    RAW_SHA256,
    SHA256,
    SIGNER,
    Server,
    data,
    entry,
    listing,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARMHF = "2026-09-15-raspios-trixie-armhf-lite.img.xz"
OLDER = "2026-06-18-raspios-trixie-arm64-lite.img.xz"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDuZc3RrZXl0ZXN0a2V5dGVzdGtleXRlc3RrZXl0ZXN0 me"
BOOKWORM = "2026-04-13-raspios-bookworm-arm64-lite.img.xz"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run the stand-in; the tests' key counts, and nobody waits between tries."""
    monkeypatch.setattr(signature, "FINGERPRINT", SIGNER)
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    with serving() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Make a store."""
    return Store(root=tmp_path / "store").open()


def settings(server: Server, *, key: Path | None = None, image: Path | None = None) -> RaspiOs:
    """Give a section that names the stand-in."""
    return RaspiOs(
        server=server.url,
        key=str(key) if key else None,
        image=str(image) if image else None,
    )


def choose(
    server: Server,
    store: Store,
    *,
    refresh: bool = False,
    key: Path | None = None,
    image: Path | None = None,
) -> OfficialImage:
    """Choose an image for a Raspberry Pi 3."""
    return raspios.choose(
        settings(server, key=key, image=image), store, Monitor(quiet=True),
        suite="trixie", arch="arm64", refresh=refresh,
    )  # fmt: skip


def bring(server: Server, store: Store, *, image: Path | None = None) -> Path:
    """Give the file of the chosen image."""
    chosen = choose(server, store, image=image)
    return raspios.bring(chosen, settings(server, image=image), store, Monitor(quiet=True))


def relist(server: Server, *entries: dict[str, object]) -> None:
    """Have another list."""
    server.serve(list=json.dumps(listing(*entries)).encode())


# The list


def test_the_newest_of_suite_and_processor() -> None:
    """Lite images lie deep in the list; the newest of the wanted kind is taken, with its sums."""
    entries = [entry(OLDER), entry(), entry(ARMHF), entry(BOOKWORM)]

    found = official.newest(listing(*entries), suite="trixie", arch="arm64")
    backwards = official.newest(listing(*entries[::-1]), suite="trixie", arch="arm64")

    assert found == OfficialImage(
        url=f"{raspios.SERVER}/{FOLDER}/{NAME}", date="2026-09-15", suite="trixie", arch="arm64",
        size=len(IMAGE), sha256=SHA256, raw_size=3_078_619_136, raw_sha256=RAW_SHA256,
    )  # fmt: skip
    assert found.name == NAME
    assert backwards == found


def test_what_is_no_lite_image_is_passed_over() -> None:
    """Desktop images, other systems, other addresses and half-told entries are none."""
    wrong: list[dict[str, object]] = [
        entry("2026-09-15-raspios-trixie-arm64.img.xz"),
        entry("2026-09-15-raspios-trixie-arm64-full.img.xz"),
        entry("2026-09-15-raspios-trixie-arm64-lite.zip"),
        entry(url=f"file:///srv/{NAME}"),
        entry(url=f"ftp://example.org/{NAME}"),
        entry(url=f"http://[::1/{NAME}"),
        entry(url=NAME),
        entry(url=7),
        entry(image_download_sha256=None),
        entry(image_download_sha256="abc"),
        entry(extract_sha256=["5e" * 32]),
        entry(extract_size=0),
        entry(extract_size=True),
        entry(image_download_size="7"),
    ]

    assert list(official.published(listing(*wrong))) == []
    with pytest.raises(LockError, match="it has none at all"):
        official.newest(listing(*wrong), suite="trixie", arch="arm64")


def test_a_release_that_is_not_listed() -> None:
    """The error names what is listed, and the way out."""
    with pytest.raises(LockError) as caught:
        official.newest(listing(entry(), entry(ARMHF)), suite="bookworm", arch="arm64")

    assert "no Lite image of bookworm for arm64" in str(caught.value)
    assert "it has trixie arm64, trixie armhf" in str(caught.value)
    assert "base: PATH.img.xz" in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b"<html>"])
def test_a_damaged_list(server: Server, store: Store, text: bytes) -> None:
    """What is no JSON is refused in a sentence, with the way out."""
    server.serve(list=text)

    with pytest.raises(LockError, match="is no list of images") as caught:
        choose(server, store)
    assert "raspios.server" in str(caught.value.hint)


@pytest.mark.parametrize("text", [b"null", b"7", b"[]", b'{"os_list": 7}', b'{"os_list": [[7]]}'])
def test_a_list_of_nothing(server: Server, store: Store, text: bytes) -> None:
    """JSON of another shape holds no image."""
    server.serve(list=text)

    with pytest.raises(LockError, match="it has none at all"):
        choose(server, store)


def test_a_list_without_an_end(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not end is not read to its end."""
    monkeypatch.setattr(download, "MOST", 1 << 20)
    server.endless = frozenset({f"/{raspios.LIST}"})

    with pytest.raises(LockError, match="does not end after 1 MiB"):
        choose(server, store)


def test_no_list(server: Server, store: Store) -> None:
    """A server without a list is named, with what it answered."""
    del server.files[f"/{raspios.LIST}"]

    with pytest.raises(LockError) as caught:
        choose(server, store)

    assert f"{server.url}/{raspios.LIST}: the server answers 404" in str(caught.value)


def test_the_clients_name_matters(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers 403 to Python's own name; ours it takes."""
    assert choose(server, store).sha256 == SHA256

    monkeypatch.setattr(download, "AGENT", "Python-urllib/3.11")
    with pytest.raises(LockError, match="the server answers 403"):
        choose(server, store, refresh=True)


def test_nobody_listens(store: Store) -> None:
    """Without a server the error names it, and a way that needs none."""
    with serving() as gone:
        pass

    with pytest.raises(LockError) as caught:
        choose(gone, store)

    assert "Connection refused" in str(caught.value)
    assert "base: PATH.img.xz" in str(caught.value.hint)


def test_a_mirror_stands_for_raspberry_pis_server_alone(server: Server, store: Store) -> None:
    """An address of another host is asked as it stands in the list."""
    with serving() as elsewhere:
        relist(server, entry(url=f"{elsewhere.url}/{FOLDER}/{NAME}"))
        del server.files[f"/{FOLDER}/{NAME}"]

        assert bring(server, store).read_bytes() == IMAGE
        assert elsewhere.asked == [f"/{FOLDER}/{NAME}.sig", f"/{FOLDER}/{NAME}"]


# The download


def test_it_is_fetched_once_and_then_offline(server: Server, store: Store) -> None:
    """List, key, signature and image are asked for once; from then on no network is needed."""
    first = bring(server, store)
    asked = len(server.asked)

    assert first == store.root / "sources" / SHA256
    assert first.read_bytes() == IMAGE
    assert bring(server, store) == first
    assert len(server.asked) == asked


def test_a_broken_download_goes_on(server: Server, store: Store) -> None:
    """Each connection begins where the one before it broke; the result is whole."""
    server.moods = ["drop", "drop", "dead", "503", "drop"]

    assert bring(server, store).read_bytes() == IMAGE
    assert server.begun[0] == 0
    assert server.begun == sorted(server.begun)
    assert server.begun[1] == len(IMAGE) // 3


def test_the_next_run_goes_on(server: Server, store: Store) -> None:
    """A run that gave up keeps what came, says so, and the next begins there."""
    server.moods = ["drop", *["dead"] * download.TRIES]

    with pytest.raises(LockError) as caught:
        bring(server, store)
    assert f"{len(IMAGE) // 3} of {len(IMAGE)} bytes came" in str(caught.value)
    assert "the next run goes on from there" in str(caught.value.hint)
    assert "raspios.image" in str(caught.value.hint)
    assert not (store.root / "sources" / SHA256).exists()

    server.begun.clear()
    assert bring(server, store).read_bytes() == IMAGE
    assert server.begun == [len(IMAGE) // 3]


def test_a_server_without_ranges(server: Server, store: Store) -> None:
    """One that sends everything again is read past what is there."""
    server.moods = ["drop", "whole"]

    assert bring(server, store).read_bytes() == IMAGE
    assert len(server.begun) == 2


def test_a_file_that_changes_between_two_connections(server: Server, store: Store) -> None:
    """Halves of two files are no image: it is fetched once more, from its beginning."""
    server.moods = ["drop", "changed"]

    assert bring(server, store).read_bytes() == IMAGE
    assert server.begun == [0, len(IMAGE) // 3, 0]


def test_a_shorter_file_than_what_is_there(server: Server, store: Store) -> None:
    """Where the server has nothing from there on, it begins anew."""
    server.moods = ["drop", "drop", "short"]

    assert bring(server, store).read_bytes() == IMAGE
    assert server.begun[-1] == 0


def test_a_changed_file_under_a_pinned_name(server: Server, store: Store) -> None:
    """Another file under the listed name is refused with both sums, and nothing of it stays."""
    server.serve(image=OTHER)

    with pytest.raises(LockError) as caught:
        bring(server, store)

    assert f"{SHA256} is pinned" in str(caught.value)
    assert "./invoke lock" in str(caught.value.hint)
    assert [path.name for path in (store.root / "sources").iterdir()] == []


@pytest.mark.parametrize("status", ["403", "404"])
def test_a_final_answer_is_not_asked_for_again(server: Server, store: Store, status: str) -> None:
    """What the server has not it will not have in a second."""
    server.moods = [status] * 3

    with pytest.raises(LockError, match=f"the server answers {status}"):
        bring(server, store)
    assert len(server.begun) == 1


def test_a_silent_server(server: Server, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing is asked again after a while; one that stays so is told of."""
    monkeypatch.setattr(download, "TIMEOUT_S", 1)
    server.moods = ["drop", "silent"]
    assert bring(server, store).read_bytes() == IMAGE

    (store.root / "sources" / SHA256).unlink()
    monkeypatch.setattr(download, "TRIES", 1)
    server.moods = ["silent"]
    with pytest.raises(LockError, match=r"the server was silent for 1 s"):
        bring(server, store)


def test_a_certificate_that_does_not_hold() -> None:
    """The two usual reasons are named: a wrong clock, and no list of authorities."""
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refused.verify_message = "certificate is not yet valid"

    said = download._told(urllib.error.URLError(refused))

    assert "its certificate does not hold here (certificate is not yet valid)" in said
    assert "clock" in said
    assert "ca-certificates" in said


def test_a_disk_without_room(server: Server, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is asked for before the first byte."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(IMAGE) - 1))

    with pytest.raises(HostError, match="GB free"):
        bring(server, store)
    assert server.begun == []


def test_progress_is_told(server: Server, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A person sees what is fetched, from where, how far it is, and that it was proven."""
    image = raspios.choose(settings(server), store, Monitor(), suite="trixie", arch="arm64")

    said = capsys.readouterr().out
    assert f"raspios: fetching {NAME} (0 MB) from 127.0.0.1" in said
    assert f"✓ {image.name} is signed by Raspberry Pi's key" in said


def test_progress_is_told_ten_times(capsys: pytest.CaptureFixture[str]) -> None:
    """However many blocks come, a person reads a line for each tenth."""
    tell = raspios._telling(NAME, Monitor())
    for there in range(0, 550_000_001, 1_000_000):
        tell(there, 550_000_000)

    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"  … {NAME}: 0 of 550 MB"
    assert said[5] == f"  … {NAME}: 275 of 550 MB"
    assert said[-1] == f"  … {NAME}: 550 of 550 MB"
    assert len(said) == 11


# The signature


def test_a_signature_of_another_key(server: Server, store: Store) -> None:
    """A good signature counts for nothing when another key made it: nothing is chosen."""
    server.serve(key=data("other.asc"), sig=data("other.sig.asc"))

    with pytest.raises(LockError) as caught:
        choose(server, store)
    assert f"{NAME} is not signed by Raspberry Pi's key {SIGNER}" in str(caught.value)
    with pytest.raises(LockError):  # and is not the next time either
        choose(server, store)


@pytest.mark.parametrize(
    ("key", "sig", "said"),
    [
        ("other.asc", "signer.sig.asc", "No public key"),
        ("signer.asc", "other.sig.asc", "No public key"),
        ("revoked.asc", "signer.sig.asc", "is not signed"),
        ("signer.asc", "README.md", "is not signed"),
        ("README.md", "signer.sig.asc", "is not signed"),
    ],
)
def test_what_proves_nothing(server: Server, store: Store, key: str, sig: str, said: str) -> None:
    """The wrong key, a revoked one, or a file that is no key or signature."""
    server.serve(key=data(key), sig=data(sig))

    with pytest.raises(LockError, match=said):
        choose(server, store)


def test_a_signature_of_another_file(server: Server, store: Store) -> None:
    """The list agrees with the file, and Raspberry Pi signed another: it is refused."""
    changed = official.image(
        url="http://example.org/" + NAME, size=len(OTHER), sha256=_sum(OTHER),
        raw_size=1, raw_sha256=RAW_SHA256,
    )  # fmt: skip
    assert changed is not None
    relist(server, entry(image_download_sha256=changed.sha256))
    server.serve(image=OTHER)

    with pytest.raises(LockError, match="BAD signature"):
        choose(server, store)


@pytest.mark.parametrize("text", [b"-----BEGIN", b"-----BEGIN X-----\n\n%%%\n-----END X-----\n"])
def test_a_damaged_key(server: Server, store: Store, text: bytes) -> None:
    """What begins as a key and is none is refused, before the image is fetched for nothing."""
    server.serve(key=text)

    with pytest.raises(LockError, match="is no OpenPGP key") as caught:
        choose(server, store)
    assert "raspios.key" in str(caught.value.hint)


def test_the_key_from_a_file(server: Server, store: Store, tmp_path: Path) -> None:
    """A mirror without the key is told of; a file has it, armoured or not."""
    del server.files[f"/{raspios.KEY}"]
    with pytest.raises(LockError) as caught:
        choose(server, store)
    assert "raspios.key" in str(caught.value.hint)
    assert server.begun == []  # the image was not fetched for nothing

    key = tmp_path / "key.gpg"
    key.write_bytes(signature.unarmoured(data("signer.asc")))
    assert choose(server, store, key=key).sha256 == SHA256


def test_no_signature(server: Server, store: Store) -> None:
    """An image without one is not taken."""
    del server.files[f"/{FOLDER}/{NAME}.sig"]

    with pytest.raises(LockError, match=r"lite\.img\.xz\.sig: the server answers 404"):
        choose(server, store)


def test_the_pinned_fingerprint_is_raspberry_pis() -> None:
    """The one that Raspberry Pi's documentation and many repositories quote."""
    assert signature.FINGERPRINT == "54C3DD610D9D1B4AF82A37758738CD6B956F460C"


# What was chosen


def test_lock_asks_again(server: Server, store: Store) -> None:
    """What was chosen stays, whatever the list says later, until it is asked again."""
    relist(server, entry(OLDER, url=f"{raspios.SERVER}/{FOLDER}/{OLDER}"))
    server.files[f"/{FOLDER}/{OLDER}"] = IMAGE
    server.files[f"/{FOLDER}/{OLDER}.sig"] = data("signer.sig.asc")
    assert choose(server, store).date == "2026-06-18"

    relist(server, entry(OLDER), entry())
    assert choose(server, store).date == "2026-06-18"
    assert choose(server, store, refresh=True).date == "2026-09-15"
    assert choose(server, store).date == "2026-09-15"


def test_who_asks_for_the_newest_hears_that_there_is_none(server: Server, store: Store) -> None:
    """A refresh without a list is an error, and leaves the choice as it was."""
    chosen = choose(server, store)
    del server.files[f"/{raspios.LIST}"]

    with pytest.raises(LockError):
        choose(server, store, refresh=True)
    assert choose(server, store) == chosen


def test_a_damaged_choice_is_none(server: Server, store: Store) -> None:
    """It is made again, by the list."""
    chosen = choose(server, store)
    (kept,) = (store.root / "apt").glob("raspios-*.json")
    for damage in ("", "[]", "{", '{"url": 7}', kept.read_text().replace(SHA256, "x")):
        kept.write_text(damage)
        assert choose(server, store) == chosen


# An owner's own file


def test_an_image_by_hand(server: Server, store: Store, tmp_path: Path) -> None:
    """It is checked as any other, with the signature beside it, and used where it lies."""
    image = tmp_path / "mine.img.xz"
    image.write_bytes(IMAGE)
    image.with_name("mine.img.xz.sig").write_bytes(data("signer.sig.asc"))
    del server.files[f"/{FOLDER}/{NAME}.sig"]

    assert bring(server, store, image=image) == image
    assert server.begun == []


def test_another_image_by_hand(server: Server, store: Store, tmp_path: Path) -> None:
    """One that is not the listed one is refused, with where the listed one lies."""
    image = tmp_path / "mine.img.xz"
    image.write_bytes(OTHER)

    with pytest.raises(LockError) as caught:
        bring(server, store, image=image)

    assert f"raspios.image: {image} has the sha256 {_sum(OTHER)}" in str(caught.value)
    assert f"{raspios.SERVER}/{FOLDER}/{NAME}" in str(caught.value.hint)


# The lock


def pinned() -> OfficialImage:
    """Give the image as a lock file has it."""
    return official.newest(listing(entry()), suite="trixie", arch="arm64")


def test_the_lock_holds_it() -> None:
    """Address, date, size and both sums are written and read back; another base has none."""
    with_one = lock.Lock(suite="trixie", epoch=1, chains={}, raspios=pinned())
    without = lock.Lock(suite="trixie", epoch=1, chains={})

    assert lock.parse(with_one.dump()) == with_one
    assert json.loads(with_one.dump())["raspios"]["raw_sha256"] == RAW_SHA256
    assert lock.parse(without.dump()) == without
    assert "raspios" not in without.dump()


@pytest.mark.parametrize(
    "change",
    [None, 7, [], {}, {"url": 7}, {"sha256": "x"}, {"size": "7"}, {"date": "2020-01-01"},
     {"more": 1}, {"url": f"file:///{NAME}"}],
)  # fmt: skip
def test_a_damaged_image_in_a_lock(change: object) -> None:
    """A lock whose image is none is damaged, with the way to a new one."""
    text = json.loads(lock.Lock(suite="trixie", epoch=1, chains={}, raspios=pinned()).dump())
    broken = {**text["raspios"], **change} if isinstance(change, dict) and change else change

    with pytest.raises(LockError, match="damaged") as caught:
        lock.parse(json.dumps({**text, "raspios": broken}))
    assert caught.value.hint == "run: invoke lock"


def test_a_lock_tells_of_its_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who locked reads which image it is."""
    chosen = lock.Lock(suite="trixie", epoch=1, chains={"target": {}}, raspios=pinned())

    show.lock_written(cast("opened.Project", SimpleNamespace(lock=chosen)), tmp_path / "a.json")

    assert f"0 sources, on {NAME}; build with --locked" in capsys.readouterr().out


def test_clean_keeps_what_the_lock_names() -> None:
    """The image belongs to the downloads that a current plan needs."""
    nothing = SimpleNamespace(steps={})  # a plan without steps
    with_one = lock.Lock(suite="trixie", epoch=1, chains={}, raspios=pinned())

    assert needs.downloads(nothing, with_one) == [SHA256]  # type: ignore[arg-type]


def test_what_comes_out_of_the_packing_is_checked(tmp_path: Path) -> None:
    """An image that unpacks to other bytes than Raspberry Pi's is refused."""
    packed = tmp_path / "card.img.xz"
    packed.write_bytes(lzma.compress(b"another card"))

    with pytest.raises(LockError, match=f"{RAW_SHA256} is pinned"):
        imported._fill(tmp_path / "tree", packed, tmp_path, pinned())


def test_another_file_than_the_pinned_one(store: Store, tmp_path: Path) -> None:
    """An owner's file that changed after it was locked is not read as an image."""
    mine = tmp_path / "mine.img.xz"
    mine.write_bytes(OTHER)

    with pytest.raises(LockError, match=f"{SHA256} is pinned"):
        imported.bring_in(mine, store, Monitor(quiet=True), arch="arm64", pinned=pinned())


# The opened project


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, OfficialImage | None]]:
    """Note what would be taken as the lowest layer: mounting an image needs root."""
    found: list[tuple[Path, OfficialImage | None]] = []

    def bring_in(
        image: Path, _store: Store, _monitor: Monitor, *, arch: str, pinned: OfficialImage | None
    ) -> SimpleNamespace:
        assert arch == "arm64"
        found.append((image, pinned))
        return SimpleNamespace(suite="trixie", status="", pins="")

    monkeypatch.setattr(imported, "bring_in", bring_in)
    monkeypatch.setattr(sandbox, "require_root", lambda _: None)
    return found


def written(server: Server, folder: Path, *, suite: str = "trixie") -> Path:
    """Write a configuration that starts from the stand-in's image."""
    config = folder / "image.yaml"
    config.write_text(
        f"board: '3'\nbase: raspios\nprofile: bench\nstages: [telematics]\nsuite: {suite}\n"
        f"user: {{ssh_keys: ['{KEY}']}}\nraspios: {{server: '{server.url}'}}\n"
    )
    return config


def lowest(
    server: Server, store: Store, folder: Path, *, locked: bool, suite: str = "trixie"
) -> OfficialImage | None:
    """Open the lowest layer of a configuration, as `open_project` does."""
    config = written(server, folder, suite=suite)
    loaded = load(config).config
    board = BOARDS[loaded.board]
    by = opened.lock_file(config, board) if locked else None
    image, _ = opened._lowest(loaded, store, Monitor(quiet=True), board, by=by, refresh=False)
    return image


def test_a_project_starts_from_it(
    server: Server,
    store: Store,
    tmp_path: Path,
    taken: list[tuple[Path, OfficialImage | None]],
) -> None:
    """The newest image of suite and board is fetched and becomes the lowest layer, as pinned."""
    image = lowest(server, store, tmp_path, locked=False)

    assert image == pinned()
    assert taken == [(store.root / "sources" / SHA256, pinned())]


def test_locked_is_by_the_lock_file_alone(
    server: Server,
    store: Store,
    tmp_path: Path,
    taken: list[tuple[Path, OfficialImage | None]],
) -> None:
    """The list is not asked: the file is fetched by its sum, and then nothing is."""
    text = lock.Lock(suite="trixie", epoch=1, chains={}, raspios=pinned()).dump()
    (tmp_path / "image.3.lock.json").write_text(text)
    relist(server)

    assert lowest(server, store, tmp_path, locked=True) == pinned()
    assert server.asked == [f"/{FOLDER}/{NAME}"]
    assert lowest(server, store, tmp_path, locked=True) == pinned()
    assert server.asked == [f"/{FOLDER}/{NAME}"]
    assert [file for file, _ in taken] == [store.root / "sources" / SHA256] * 2


@pytest.mark.usefixtures("taken")
def test_a_lock_of_another_base(server: Server, store: Store, tmp_path: Path) -> None:
    """A lock without an image, or with one of another release, says so."""
    path = tmp_path / "image.3.lock.json"
    path.write_text(lock.Lock(suite="trixie", epoch=1, chains={}).dump())
    with pytest.raises(LockError, match="it has none"):
        lowest(server, store, tmp_path, locked=True)
    path.write_text(lock.Lock(suite="trixie", epoch=1, chains={}, raspios=pinned()).dump())
    with pytest.raises(LockError, match="bookworm for arm64: it has that of trixie"):
        lowest(server, store, tmp_path, locked=True, suite="bookworm")
    path.unlink()
    with pytest.raises(LockError, match="No such file"):
        lowest(server, store, tmp_path, locked=True)


def test_a_project_is_locked_with_it(
    server: Server,
    store: Store,
    tmp_path: Path,
    taken: list[tuple[Path, OfficialImage | None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What `lock` writes names the image, and `--locked` opens by it without asking any list."""

    def resolve(
        _: Store, *, suite: str, chains: list[lock.Chain], sources: list[str], **_more: object
    ) -> lock.Lock:
        question = lock.question(suite, chains, sources)
        return lock.Lock(suite=suite, epoch=1, chains={}, asked=question)

    # No package is resolved and nothing is planned: the base comes before both.
    monkeypatch.setattr(lock, "resolve", resolve)
    monkeypatch.setattr(plan, "make_plan", lambda *_, **__: None)
    monkeypatch.setattr(sound, "require_emulation", lambda _: None)
    monkeypatch.setattr(opened, "mirror_of", lambda _: None)
    monkeypatch.setattr(opened, "archives", lambda *_: [])
    config = written(server, tmp_path)

    def again(*, locked: bool) -> opened.Project:
        return opened.open_project(
            Monitor(quiet=True), store=store, config=config, out=tmp_path / "out", locked=locked
        )

    path = story.write_lock(again(locked=False), config)
    relist(server)

    assert lock.load(path).raspios == pinned()
    assert again(locked=True).lock == lock.load(path)
    assert taken == [(store.root / "sources" / SHA256, pinned())] * 2


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def base_with(tree: Path, *doers: Doer, boot: str = "boot/firmware") -> Base:
    """Give the lowest layer of an image that does something by itself."""
    layer = Layer(key="k", path=tree)
    start = FirstStart(doers=doers)
    return Base(layer=layer, digest="d", arch="arm64", suite="trixie", boot=boot, first_start=start)


def test_a_car_knows_what_the_image_begins_with(tmp_path: Path) -> None:
    """A first program that nobody knows could grow the root over the data: the build names it."""
    known = Doer(how=How.WORD, name="resize", jobs=(Job.GROWTH,))
    unknown = Doer(how=How.WORD, name="init=/new", jobs=(Job.UNKNOWN,))

    opened.require_known(base_with(tmp_path, known))
    with pytest.raises(ConfigError, match="starts with word init=/new, which is not known here"):
        opened.require_known(base_with(tmp_path, known, unknown))


def test_a_car_s_boot_partition_is_where_its_programs_look(tmp_path: Path) -> None:
    """Of an image that has it elsewhere, as bullseye, no car is made."""
    with pytest.raises(ConfigError, match="boot partition at /boot, a car's is at /boot/firmware"):
        opened.require_known(base_with(tmp_path, boot="boot"))
