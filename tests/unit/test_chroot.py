"""Entering a root as pi-gen does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glovebox.host import cage, chroot


@pytest.mark.parametrize(
    ("arch", "given", "words"),
    [
        ("arm64", {}, ["--drop", "setfcap"]),
        ("armhf", {}, ["--linux32", "--drop", "setfcap"]),
        ("armel", {"SETFCAP": "1"}, ["--linux32"]),
        ("arm64", {"SETFCAP": "0"}, ["--drop", "setfcap"]),
        ("amd64", {"SETFCAP": "1"}, []),
    ],
)
def test_as_pi_gen(arch: str, given: dict[str, str], words: list[str]) -> None:
    """32-bit roots see a 32-bit kernel; capabilities of files are dropped unless SETFCAP=1."""
    assert chroot.as_pi_gen(arch, given) == words


def test_nothing_that_reaches_the_host_is_kept() -> None:
    """Of the capabilities, those that act on the machine are not among the usual ones."""
    reaching = {
        "sys_admin", "sys_module", "sys_rawio", "sys_boot", "sys_time", "sys_ptrace", "syslog",
        "mac_admin", "mac_override", "net_admin", "bpf", "perfmon", "dac_read_search",
    }  # fmt: skip

    assert reaching <= set(cage.CAPABILITIES) - cage.KEPT
    assert set(cage.CAPABILITIES) >= cage.KEPT
    assert cage.CAPABILITIES[21] == "sys_admin"  # as in linux/capability.h


def test_what_is_named_is_kept() -> None:
    """A command is entered with the options it needs, and its words stand behind them."""
    words = chroot.command(Path("/r"), ["a", "--"], network=True, may=("sys_admin",))

    assert words[-8:] == [
        os.path.realpath(cage.__file__),
        "/r",
        "--network",
        "--keep",
        "sys_admin",
        "--",
        "a",
        "--",
    ]
