"""Sign lists of checksums with a key of the owner's: minisign's, or one that GnuPG keeps.

The programs are the ones people check with, so what they make is what they take; the same list,
key and program give the same minisign signature, GnuPG's holds the time.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from glovebox.errors import ConfigError, HostError
from glovebox.host.run import CommandError, attach, run
from glovebox.project import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glovebox.config.build import Sign

MINISIG, ARMOURED = ".minisig", ".asc"
ENDINGS = (MINISIG, ARMOURED)
_EXPORT = "export.sign"


def endings(sign: Sign) -> tuple[str, ...]:
    """Give how the signatures' names end."""
    wanted = ((sign.minisign, MINISIG), (sign.gpg, ARMOURED))
    return tuple(ending for key, ending in wanted if key)


def require(sign: Sign) -> None:
    """Look whether it can be signed, before minutes are spent; raises ConfigError or HostError."""
    if sign.minisign:
        _minisign(["minisign", "-v"], check=True)
        if not _is_secret_key(Path(sign.minisign)):
            raise ConfigError(
                f"{_EXPORT}.minisign: {sign.minisign} is no secret key of minisign",
                hint="minisign -G makes a pair; the secret one is named here",
            )
    if sign.gpg:
        found = _gpg(["--batch", "--list-secret-keys", sign.gpg])
        if found.status:
            raise ConfigError(
                f"{_EXPORT}.gpg: GnuPG has no secret key '{sign.gpg}' of yours: {found.last}",
                hint="gpg --list-secret-keys shows those there are",
            )


def signatures(sign: Sign, name: str, data: bytes) -> dict[str, bytes]:
    """Give the signatures of a file, by the names that they have beside it."""
    found = {}
    if sign.minisign:
        found[f"{name}{MINISIG}"] = _by_minisign(Path(sign.minisign), name, data)
    if sign.gpg:
        found[f"{name}{ARMOURED}"] = _by_gpg(sign.gpg, name, data)
    return found


def one_of(signs: Sequence[Sign]) -> Sign | None:
    """Give what a common list is signed with; raises ConfigError where images have several keys."""
    found = list(dict.fromkeys(one for one in signs if endings(one)))
    if len(found) > 1:
        raise ConfigError(
            "these images are signed with different keys, and they share one list of checksums",
            hint="take those of one key: --image NAME",
        )
    return found[0] if found else None


def _is_secret_key(path: Path) -> bool:
    try:
        head = path.read_text(errors="replace").splitlines()[:1]
    except OSError as error:
        raise ConfigError(f"{_EXPORT}.minisign: {path}: {error.strerror}") from error
    return head != [] and "secret key" in head[0]


def _by_minisign(key: Path, name: str, data: bytes) -> bytes:
    with tempfile.TemporaryDirectory(prefix="glovebox-sign-") as folder:
        file, made = Path(folder) / name, Path(folder) / f"{name}{MINISIG}"
        file.write_bytes(data)
        # A comment of our own: minisign's has the time, and the same list shall have one signature.
        _minisign(
            ["minisign", "-S", "-s", str(key), "-m", str(file), "-x", str(made), "-t", name],
            check=False,
        )
        if not made.is_file():
            raise HostError(
                f"minisign did not sign {name} with {key}",
                hint="a key with a password wants a terminal to ask on, and the right one;"
                " minisign -G -W makes one without",
            )
        return made.read_bytes()


def _minisign(command: list[str], *, check: bool) -> None:
    """Run it; where it may ask for a password, on the terminal of whoever started this."""
    try:
        if not check and sys.stdin.isatty():
            attach(command)
            return
        run(command, check=check)
    except CommandError:
        raise
    except HostError as error:
        hint = f"apt-get install minisign, or leave out {_EXPORT}.minisign"
        raise HostError("minisign is not installed", hint=hint) from error


class _Said:
    """What GnuPG printed, and how it ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out = status, out
        self.last = (err.strip().splitlines() or ["nothing was said"])[-1]


def _gpg(words: list[str], data: str | None = None) -> _Said:
    """Run GnuPG as the person whose keys it has: root would leave files of its own with them."""
    caller = keys.caller(os.environ)
    env = {"HOME": str(caller.home)}
    env |= {name: os.environ[name] for name in ("GNUPGHOME", "GPG_TTY") if name in os.environ}
    if sys.stdin.isatty():
        env.setdefault("GPG_TTY", os.ttyname(sys.stdin.fileno()))
    command = ["gpg", *words]
    if caller.owner:
        user, group = caller.owner
        command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *command]
    try:
        done = run(command, check=False, input=data, env=env, cwd="/")
    except HostError as error:
        hint = f"apt-get install gnupg, or leave out {_EXPORT}.gpg"
        raise HostError("gpg is not installed", hint=hint) from error
    return _Said(done.returncode, done.stdout, done.stderr)


def _by_gpg(key: str, name: str, data: bytes) -> bytes:
    said = _gpg(
        ["--batch", "--yes", "--local-user", key, "--armor", "--detach-sign", "--output", "-"],
        data.decode(),
    )
    if said.status or "BEGIN PGP SIGNATURE" not in said.out:
        raise HostError(
            f"GnuPG did not sign {name} with {key}: {said.last}",
            hint="try: gpg --detach-sign FILE",
        )
    return said.out.encode()
