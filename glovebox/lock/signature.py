"""Whether Raspberry Pi signed an image: its key counts by the fingerprint that stands here."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from glovebox.errors import LockError
from glovebox.host.run import run

if TYPE_CHECKING:
    from pathlib import Path

# "Raspberry Pi Downloads Signing Key", rsa2048 of 2017-04-10, valid until 2031-04-07.
FINGERPRINT = "54C3DD610D9D1B4AF82A37758738CD6B956F460C"
_STATUS = "[GNUPG:] "
_BAD = frozenset({"BADSIG", "REVKEYSIG"})


def require(name: str, file: Path, *, key: bytes, signature: bytes, scratch: Path) -> None:
    """Check the detached signature of an image; raises LockError unless this very key made it."""
    keyring, detached = scratch / "key.gpg", scratch / "image.sig"
    keyring.write_bytes(unarmoured(key))
    detached.write_bytes(signature)
    command: list[str | Path] = [
        "gpgv", "--status-fd", "1", "--homedir", scratch, "--keyring", keyring, detached, file,
    ]  # fmt: skip
    said = run(command, check=False)
    status = [
        line.removeprefix(_STATUS).split()
        for line in said.stdout.splitlines()
        if line.startswith(_STATUS)
    ]
    # Its last word is the fingerprint of the primary key: a sub-key may have signed.
    valid = any(words[0] == "VALIDSIG" and words[-1] == FINGERPRINT for words in status if words)
    bad = any(words[0] in _BAD for words in status if words)
    if bad or not valid:
        told = " ".join(said.stderr.split()) or "there is no signature in it"
        raise LockError(
            f"{name} is not signed by Raspberry Pi's key {FINGERPRINT}: {told}",
            hint="do not use it; fetch image, signature and key again, from another network",
        )


def unarmoured(key: bytes) -> bytes:
    """Give an OpenPGP key as gpgv reads it (RFC 9580, 6.2: base64 between two lines)."""
    if not key.lstrip().startswith(b"-----BEGIN"):
        return key
    lines = [line.strip() for line in key.strip().splitlines()]
    try:
        begin = lines.index(b"") + 1
        body = [line for line in lines[begin:] if not line.startswith((b"=", b"-"))]
        return base64.b64decode(b"".join(body), validate=True)
    except (ValueError, binascii.Error) as error:
        raise LockError(
            "what should be the signing key is no OpenPGP key",
            hint="fetch it again, or name a file that has it (raspios.key)",
        ) from error
