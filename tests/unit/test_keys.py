"""Who may log in, and whose key pair is made when nobody else could."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from glovebox.config.schema import Secret, User
from glovebox.errors import HostError
from glovebox.project import keys
from glovebox.project.keys import access_keys, caller

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT = Path(".local/share/glovebox/ssh/id_ed25519")


def public(number: int, comment: str = "test") -> str:
    """Make a public key that is well formed and opens nothing."""
    kind = b"ssh-ed25519"
    wire = b"".join(len(part).to_bytes(4, "big") + part for part in (kind, bytes([number]) * 32))
    return f"ssh-ed25519 {base64.b64encode(wire).decode()} {comment}"


class FakeKeygen:
    """Writes what ssh-keygen would write, and counts how often it was asked."""

    def __init__(self) -> None:
        """Start with nothing made."""
        self.commands: list[list[str]] = []

    def __call__(
        self, command: Sequence[str | os.PathLike[str]]
    ) -> subprocess.CompletedProcess[str]:
        """Make a pair, or give the public half of one."""
        words = [os.fspath(word) for word in command]
        self.commands.append(words)
        path = Path(words[words.index("-f") + 1])
        if "-y" not in words:
            path.write_text("private")
            path.with_suffix(".pub").write_text(public(len(self.commands), "glovebox"))
        return subprocess.CompletedProcess(words, 0, stdout=f"{public(1)}\n")


@pytest.fixture
def keygen(monkeypatch: pytest.MonkeyPatch) -> FakeKeygen:
    """Put the fake in the place of the program."""
    fake = FakeKeygen()
    monkeypatch.setattr(keys, "run", fake)
    return fake


def own_key(home: Path, name: str, number: int) -> Path:
    """Give a person a key pair of their own."""
    folder = home / ".ssh"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("private")
    (folder / f"{name}.pub").write_text(public(number))
    return folder / name


def test_configured_keys_are_the_only_ones(tmp_path: Path, keygen: FakeKeygen) -> None:
    """Keys in the configuration shut every other out; the private half is found by its text."""
    own_key(tmp_path, "id_ed25519", 1)
    private = own_key(tmp_path, "car", 2)
    wanted = public(2, "another comment")

    access = access_keys(User(ssh_keys=(wanted,)), home=tmp_path)

    assert access.public == (wanted,)
    assert access.private == private
    assert access.origin == "user.ssh_keys"
    assert keygen.commands == []


def test_foreign_configured_key_has_no_private_half(tmp_path: Path) -> None:
    """A key of somebody else is taken, and nothing pretends to be able to log in with it."""
    own_key(tmp_path, "id_ed25519", 1)

    assert access_keys(User(ssh_keys=(public(2),)), home=tmp_path).private is None


def test_password_hash_adds_no_key(tmp_path: Path, keygen: FakeKeygen) -> None:
    """Whoever sets a password has decided: no key of theirs is put in unasked."""
    own_key(tmp_path, "id_ed25519", 1)

    access = access_keys(User(password_hash=Secret("hash")), home=tmp_path)

    assert access.public == ()
    assert access.private is None
    assert keygen.commands == []


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["id_rsa", "id_ecdsa", "id_ed25519"], "id_ed25519"),
        (["id_rsa", "id_ecdsa"], "id_ecdsa"),
        (["id_rsa"], "id_rsa"),
    ],
)
def test_own_key_is_taken(tmp_path: Path, names: list[str], taken: str) -> None:
    """Without any setting the caller's own key opens the board, the best one first."""
    for number, name in enumerate(names):
        own_key(tmp_path, name, number)

    access = access_keys(User(), home=tmp_path)

    assert access.private == tmp_path / ".ssh" / taken
    assert access.public == (public(names.index(taken)),)
    assert f"{taken}.pub" in access.origin


def test_damaged_own_key_is_passed_over(tmp_path: Path) -> None:
    """A .pub file that is no key would lock its owner out, so the next one is taken."""
    own_key(tmp_path, "id_ed25519", 1).with_suffix(".pub").write_text("ssh-ed25519 AAAA")
    own_key(tmp_path, "id_rsa", 2)

    assert access_keys(User(), home=tmp_path).private == tmp_path / ".ssh/id_rsa"


def test_pair_is_made_once_and_kept(tmp_path: Path, keygen: FakeKeygen) -> None:
    """With no key at all a pair is made outside the checkout, and the next build uses it again."""
    first = access_keys(User(), home=tmp_path)
    second = access_keys(User(), home=tmp_path)

    assert first.private == second.private == tmp_path / KEPT
    assert first.public == second.public == (public(1, "glovebox"),)
    assert "made for you just now" in first.origin
    assert str(tmp_path / KEPT) in first.origin
    assert len(keygen.commands) == 1


def test_pair_is_its_owner_s_alone(tmp_path: Path, keygen: FakeKeygen) -> None:
    """Folder 0700, key 0600, and nothing half made is left beside it."""
    private = access_keys(User(), home=tmp_path).private

    assert private is not None
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in private.parent.iterdir()) == [
        "id_ed25519",
        "id_ed25519.pub",
    ]
    assert len(keygen.commands) == 1


def test_quicker_build_s_pair_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two first builds at once end with one pair: the second takes that of the first."""
    fake = FakeKeygen()
    private = tmp_path / KEPT

    def slow(command: Sequence[str | os.PathLike[str]]) -> subprocess.CompletedProcess[str]:
        done = fake(command)
        if not private.exists():
            private.write_text("of the quicker one")
            private.chmod(0o600)
            private.with_suffix(".pub").write_text(public(9))
        return done

    monkeypatch.setattr(keys, "run", slow)

    access = access_keys(User(), home=tmp_path)

    assert access.public == (public(9),)
    assert private.read_text() == "of the quicker one"


def test_lost_public_half_is_made_again(tmp_path: Path, keygen: FakeKeygen) -> None:
    """A cut between the two files of the pair loses nothing."""
    private = access_keys(User(), home=tmp_path).private
    assert private is not None
    private.with_suffix(".pub").unlink()

    assert access_keys(User(), home=tmp_path).public == (public(1),)
    assert "-y" in keygen.commands[-1]


def test_key_that_others_read_is_refused(tmp_path: Path, keygen: FakeKeygen) -> None:
    """A private key of mode 0644 is never built into an image."""
    private = access_keys(User(), home=tmp_path).private
    assert private is not None
    private.chmod(0o644)

    with pytest.raises(HostError, match="can be read by others"):
        access_keys(User(), home=tmp_path)
    assert len(keygen.commands) == 1


def test_link_in_place_of_the_folder_is_refused(tmp_path: Path, keygen: FakeKeygen) -> None:
    """Where the folder is a link the key could land anywhere, so none is made."""
    folder = (tmp_path / KEPT).parent
    folder.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(HostError, match="is a link"):
        access_keys(User(), home=tmp_path)
    assert keygen.commands == []


def test_pair_made_under_sudo_is_found_without(tmp_path: Path, keygen: FakeKeygen) -> None:
    """Sudo hides XDG_DATA_HOME; the pair it made below ~/.local/share is used all the same."""
    access_keys(User(), home=tmp_path)

    access = access_keys(User(), home=tmp_path, data_home=tmp_path / "data")

    assert access.private == tmp_path / KEPT
    assert len(keygen.commands) == 1


def test_caller_is_found_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run by sudo, the keys and their owner are those of the person, not of root."""
    account = pwd.getpwnam("nobody")
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    found = caller({"SUDO_USER": "nobody", "HOME": "/root", "XDG_DATA_HOME": "/root/data"})

    assert found.home == Path(account.pw_dir)
    assert found.data_home == Path(account.pw_dir) / ".local/share"
    assert found.owner == (account.pw_uid, account.pw_gid)


@pytest.mark.parametrize(
    ("environ", "home", "data"),
    [
        ({"HOME": "/home/eva"}, "/home/eva", "/home/eva/.local/share"),
        ({"HOME": "/home/eva", "XDG_DATA_HOME": "/data"}, "/home/eva", "/data"),
        ({"HOME": "/home/eva", "XDG_DATA_HOME": "data"}, "/home/eva", "/home/eva/.local/share"),
        ({"HOME": "/root", "SUDO_USER": "root"}, "/root", "/root/.local/share"),
        ({"HOME": "/root", "SUDO_USER": "no such user"}, "/root", "/root/.local/share"),
    ],
)
def test_caller_is_oneself(environ: dict[str, str], home: str, data: str) -> None:
    """Without sudo HOME and XDG_DATA_HOME decide; a relative XDG_DATA_HOME does not count."""
    found = caller(environ)

    assert (Path(home), Path(data), None) == (found.home, found.data_home, found.owner)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_ssh_keygen_makes_a_pair_that_fits(tmp_path: Path) -> None:
    """The real program gives a pair whose halves belong together and need no passphrase."""
    made = access_keys(User(), home=tmp_path)
    assert made.private is not None
    made.private.with_suffix(".pub").unlink()

    again = access_keys(User(), home=tmp_path)

    assert made.public[0].split()[:2] == again.public[0].split()[:2]
