"""Entering a root as pi-gen does."""

from __future__ import annotations

import pytest

from glovebox.host import chroot


@pytest.mark.parametrize(
    ("arch", "given", "words"),
    [
        ("arm64", {}, ["setpriv", "--bounding-set=-setfcap"]),
        ("armhf", {}, ["setarch", "linux32", "setpriv", "--bounding-set=-setfcap"]),
        ("armel", {"SETFCAP": "1"}, ["setarch", "linux32"]),
        ("arm64", {"SETFCAP": "0"}, ["setpriv", "--bounding-set=-setfcap"]),
        ("amd64", {"SETFCAP": "1"}, []),
    ],
)
def test_as_pi_gen(arch: str, given: dict[str, str], words: list[str]) -> None:
    """32-bit roots see a 32-bit kernel; capabilities of files are dropped unless SETFCAP=1."""
    assert chroot.as_pi_gen(arch, given) == words
