"""Who may log in: the keys of the configuration, else the caller's own, else a pair made for them.

There is no default password, and the first build needs no preparation. A pair that is made here
stays outside the checkout, readable by its owner alone, and is used again by the next build.
"""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Mapping, Sequence  # noqa: TC003  a caller may resolve the hints
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.config.access import AccessKeys
from glovebox.config.problem import WrongValueError
from glovebox.config.rules import public_key
from glovebox.errors import HostError
from glovebox.host.run import run

if TYPE_CHECKING:
    from glovebox.config.schema import User

_OWN_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_DATA_HOME = Path(".local/share")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The person who started this, also behind sudo."""

    home: Path
    data_home: Path
    owner: tuple[int, int] | None = None  # whose files are made, when that is not this process


def caller(environ: Mapping[str, str]) -> Caller:
    """Find out whose keys to use: SUDO_USER's when run by sudo, else one's own."""
    name = environ.get("SUDO_USER", "root")
    if name != "root" and os.geteuid() == 0:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            pass  # the variable outlived the account: take HOME
        else:
            home = Path(account.pw_dir)
            owner = (account.pw_uid, account.pw_gid)
            return Caller(home=home, data_home=home / _DATA_HOME, owner=owner)
    home = Path(environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    data = Path(environ.get("XDG_DATA_HOME", ""))
    # A relative path there is to be ignored, says the XDG base directory specification.
    return Caller(home=home, data_home=data if data.is_absolute() else home / _DATA_HOME)


def access_keys(
    user: User,
    *,
    home: Path,
    data_home: Path | None = None,
    owner: tuple[int, int] | None = None,
) -> AccessKeys:
    """Decide which keys open the image, making a pair when nothing else would."""
    kept = _kept_folder(home=home, data_home=data_home)
    if user.ssh_keys:
        private = _matching(user.ssh_keys, [home / ".ssh", kept])
        return AccessKeys(public=user.ssh_keys, private=private, origin="user.ssh_keys")
    if user.password_hash is not None:
        return AccessKeys(public=(), private=None, origin="user.password_hash, no key")
    for name in _OWN_KEYS:
        path = home / ".ssh" / f"{name}.pub"
        public = _read_public(path)
        if public is not None:
            private = path.with_suffix("")
            return AccessKeys(
                public=(public,),
                private=private if private.is_file() else None,
                origin=f"{path}, your own key",
            )
    return _kept_pair(kept, owner=owner)


def _kept_folder(*, home: Path, data_home: Path | None) -> Path:
    """Prefer the folder that has a pair: sudo hides XDG_DATA_HOME, the key must stay the same."""
    usual = home / _DATA_HOME / "glovebox/ssh"
    wanted = data_home / "glovebox/ssh" if data_home else usual
    return next((one for one in (wanted, usual) if (one / "id_ed25519").exists()), wanted)


def _kept_pair(folder: Path, *, owner: tuple[int, int] | None) -> AccessKeys:
    """Give the pair that was made for this user, or make it now."""
    private = folder / "id_ed25519"
    origin = f"{private}, made for you by an earlier build"
    if not private.exists():
        _make_folder(folder, owner=owner)
        _make_pair(private, owner=owner)
        origin = f"{private}, made for you just now, since you have no SSH key"
    elif private.stat().st_mode & 0o077:
        message = f"{private} can be read by others, so it is no key any more"
        raise HostError(message, hint=f"remove it and {private}.pub, then build again")
    public = _read_public(private.with_suffix(".pub"))
    if public is None:  # it can always be had from the private one
        public = public_key(run(["ssh-keygen", "-y", "-f", private]).stdout)
    return AccessKeys(public=(public,), private=private, origin=origin)


def _make_folder(folder: Path, *, owner: tuple[int, int] | None) -> None:
    """Make the folder and those above it, each its user's own."""
    for path in reversed([folder, *folder.parents]):
        if not path.exists():
            path.mkdir(mode=0o700)
            if owner:
                os.chown(path, *owner)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != (owner[0] if owner else os.geteuid()):
        message = f"{folder} is a link or belongs to another user, so no key is put into it"
        raise HostError(message, hint="remove it, or build as the user it belongs to")
    folder.chmod(0o700)


def _make_pair(private: Path, *, owner: tuple[int, int] | None) -> None:
    """Make a pair: whole or not at all, and never over one that is there."""
    with tempfile.TemporaryDirectory(dir=private.parent, prefix=".new-") as folder:
        made = Path(folder) / private.name
        run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "glovebox", "-f", made],
        )  # fmt: skip
        for path, mode in ((made, 0o600), (made.with_suffix(".pub"), 0o644)):
            path.chmod(mode)
            if owner:
                os.chown(path, *owner)
            _sync(path)
        try:
            os.link(made, private)
        except FileExistsError:
            return  # another build was quicker: its pair is as good
        made.with_suffix(".pub").replace(private.with_suffix(".pub"))
    _sync(private.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _matching(public: Sequence[str], folders: Sequence[Path]) -> Path | None:
    """Find the private half of one of the keys, by the .pub file beside it."""
    wanted = {_body(key) for key in public}
    for folder in folders:
        for path in sorted(folder.glob("*.pub")):
            found = _read_public(path)
            private = path.with_suffix("")
            if found is not None and _body(found) in wanted and private.is_file():
                return private
    return None


def _body(key: str) -> str:
    """Leave the comment out: it does not make another key."""
    return " ".join(key.split()[:2])


def _read_public(path: Path) -> str | None:
    try:
        return public_key(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, WrongValueError):
        return None
