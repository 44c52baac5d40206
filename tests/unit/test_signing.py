"""Signed lists of checksums: the programs that people check with take them, and no other list."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.config.build import BuildConfig, Export, Sign
from glovebox.errors import ConfigError, HostError
from glovebox.host.monitor import Monitor
from glovebox.host.run import run
from glovebox.project import export, keys, offer, publish, signing
from glovebox.project.load import load
from tests.unit.test_export import PAPERS, assembling, builder, hand_over, names, project
from tests.unit.test_offer import exported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.build.builder import Builder
    from glovebox.project.opened import Project

__all__ = ["builder", "project"]
SUMS = b"00  truck.img\n"
OWNER = "owner@example.org"


@pytest.fixture(scope="session")
def minisign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a secret and a public key, without a password."""
    folder = tmp_path_factory.mktemp("minisign")
    secret, public = folder / "owner.key", folder / "owner.pub"
    run(["minisign", "-G", "-W", "-s", secret, "-p", public])
    return secret, public


@pytest.fixture(scope="session")
def gnupg() -> Iterator[Path]:
    """Give a home of GnuPG with one secret key; its agent's socket wants a short path."""
    folder = Path(tempfile.mkdtemp(prefix="gb-", dir="/tmp"))
    env = {"GNUPGHOME": str(folder)}
    batch = ["gpg", "--batch", "--passphrase", ""]
    run([*batch, "--quick-generate-key", OWNER, "ed25519", "sign", "never"], env=env)
    yield folder
    run(["gpgconf", "--kill", "all"], env=env)
    shutil.rmtree(folder, ignore_errors=True)


def taken(folder: Path, name: str, public: Path) -> bool:
    """Tell whether minisign takes a file, with the signature beside it."""
    done = run(["minisign", "-V", "-p", public, "-m", folder / name], check=False)
    return done.returncode == 0


@pytest.mark.needs("minisign")
def test_minisign_takes_what_is_signed(tmp_path: Path, minisign: tuple[Path, Path]) -> None:
    """The list is taken, one with another byte is not; the same list has the same signature."""
    secret, public = minisign
    sign = Sign(minisign=str(secret))
    (tmp_path / "SHA256SUMS").write_bytes(SUMS)

    signing.require(sign)
    (made,) = signing.signatures(sign, "SHA256SUMS", SUMS).values()
    (again,) = signing.signatures(sign, "SHA256SUMS", SUMS).values()

    (tmp_path / "SHA256SUMS.minisig").write_bytes(made)
    assert taken(tmp_path, "SHA256SUMS", public)
    (tmp_path / "SHA256SUMS").write_bytes(SUMS.replace(b"00", b"01"))
    assert not taken(tmp_path, "SHA256SUMS", public)
    assert made == again


@pytest.mark.needs("gpg", "gpgconf")
def test_gnupg_takes_what_is_signed(
    tmp_path: Path, gnupg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is taken, one with another byte is not; a key nobody has is told before a build."""
    monkeypatch.setenv("GNUPGHOME", str(gnupg))
    sign = Sign(gpg=OWNER)
    (tmp_path / "SHA256SUMS").write_bytes(SUMS)

    signing.require(sign)
    (tmp_path / "SHA256SUMS.asc").write_bytes(
        signing.signatures(sign, "SHA256SUMS", SUMS)["SHA256SUMS.asc"]
    )

    def status() -> int:
        command = ["gpg", "--batch", "--verify", "SHA256SUMS.asc", "SHA256SUMS"]
        env = {"GNUPGHOME": str(gnupg)}
        return run(command, check=False, cwd=tmp_path, env=env).returncode

    assert status() == 0
    (tmp_path / "SHA256SUMS").write_bytes(SUMS.replace(b"00", b"01"))
    assert status() != 0
    with pytest.raises(ConfigError, match=r"export\.sign\.gpg: .*nobody@example\.org"):
        signing.require(Sign(gpg="nobody@example.org"))


@pytest.mark.needs("minisign")
def test_what_is_no_key_is_told_before_a_build(tmp_path: Path, minisign: tuple[Path, Path]) -> None:
    """A public key in place of the secret one is told, with the setting's name."""
    _, public = minisign
    with pytest.raises(ConfigError, match=r"export\.sign\.minisign: .* is no secret key"):
        signing.require(Sign(minisign=str(public)))
    broken = tmp_path / "broken.key"
    broken.write_text("untrusted comment: minisign encrypted secret key\nAAAA\n")
    with pytest.raises(HostError, match="did not sign SHA256SUMS"):
        signing.signatures(Sign(minisign=str(broken)), "SHA256SUMS", SUMS)


@pytest.mark.needs("minisign")
def test_an_export_is_signed(
    project: Project,
    builder: Builder,
    monkeypatch: pytest.MonkeyPatch,
    minisign: tuple[Path, Path],
) -> None:
    """Sums of image, block map and package list are signed; without the key it is another export.

    A signature that nobody asks for any more goes.
    """
    secret, public = minisign
    assembling(monkeypatch, b"image")
    config = replace(project.loaded.config, export=Export(sign=Sign(minisign=str(secret))))
    signed = replace(project, loaded=replace(project.loaded, config=config))
    hand_over(signed, builder)

    sums = "glovebox-zero-w.img.sha256"
    assert names(project) == PAPERS | {f"{sums}.minisig"}
    assert taken(project.out, sums, public)
    assert "glovebox-zero-w.packages.txt" in (project.out / sums).read_text()
    assert run(["sha256sum", "-c", sums], cwd=project.out).returncode == 0
    assert export.is_current(signed, verified=True)
    assert not export.is_current(project, verified=True)
    (project.out / f"{sums}.minisig").unlink()
    assert not export.is_current(signed, verified=True)
    hand_over(signed, builder)
    hand_over(project, builder)
    assert names(project) == PAPERS


def signed_out(folder: Path, name: str, key: Path) -> Path:
    """Put what an export leaves into a folder, signed by a key."""
    out = exported(folder, name)
    manifest = out / f"{name}.manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "signed_by": {"minisign": str(key)}}))
    return out


@pytest.mark.needs("minisign")
def test_what_is_published_is_signed(tmp_path: Path, minisign: tuple[Path, Path]) -> None:
    """The list beside the images is signed as they are, and the page has a link to it.

    An unsigned list does not stand beside the signature of an older one.
    """
    secret, public = minisign
    out, www = signed_out(tmp_path / "out", "truck-zero-w", secret), tmp_path / "www"
    quiet = Monitor(quiet=True)

    publish.publish(offer.find(out).offers, www, "https://example.org", quiet)

    assert taken(www, "SHA256SUMS", public)
    assert 'href="SHA256SUMS.minisig"' in (www / "index.html").read_text()
    exported(out, "truck-zero-w")
    publish.publish(offer.find(out).offers, www, "https://example.org", quiet)
    assert (www / "SHA256SUMS").is_file()
    assert not (www / "SHA256SUMS.minisig").exists()


def test_images_of_two_keys_are_published_apart(tmp_path: Path) -> None:
    """They would share one list: that is told, and nothing is written."""
    out = signed_out(tmp_path / "out", "truck-zero-w", tmp_path / "a.key")
    signed_out(out, "van-3", tmp_path / "b.key")

    with pytest.raises(ConfigError, match="signed with different keys"):
        publish.publish(
            offer.find(out).offers, tmp_path / "www", "https://example.org", Monitor(quiet=True)
        )
    assert not (tmp_path / "www").exists()


@pytest.mark.parametrize(("text", "good"), [
    ("54C3DD610D9D1B4AF82A37758738CD6B956F460C", True), ("0x8738CD6B956F460C", True), (OWNER, True),
    ("--output@x", False), ("mine", False), ("", False),
])  # fmt: skip
def test_how_a_key_of_gnupg_is_named(tmp_path: Path, text: str, *, good: bool) -> None:
    """By fingerprint or mail, and by nothing that gpg takes for an option."""
    path = tmp_path / "image.yaml"
    path.write_text(f"export:\n  sign:\n    gpg: '{text}'\n")
    if good:
        config = load(path).config
        assert isinstance(config, BuildConfig)
        assert config.export.sign.gpg == text
        return
    with pytest.raises(ConfigError, match=r"export\.sign\.gpg"):
        load(path)


def test_behind_sudo_gnupg_runs_as_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root would leave files of its own in that person's folder of keys."""
    caller = keys.Caller(home=Path("/home/driver"), data_home=Path("/x"), owner=(1234, 1235))
    monkeypatch.setattr(keys, "caller", lambda _environ: caller)
    ran: list[list[str]] = []

    def note(command: list[str], **options: object) -> object:
        ran.append(command)
        assert options["env"]["HOME"] == "/home/driver"  # type: ignore[index]
        return run(["true"])

    monkeypatch.setattr(signing, "run", note)
    signing.require(Sign(gpg=OWNER))
    assert ran[0][:4] == ["setpriv", "--reuid=1234", "--regid=1235", "--clear-groups"]
