"""The interpreter under /opt: it starts on the target, and what a service imports is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from glovebox.card import elf

if TYPE_CHECKING:
    from pathlib import Path

    from testinfra.host import Host

    from glovebox.verify.verify import Facts

pytestmark = pytest.mark.stage("cpython")

WORK = """
import bz2, ctypes, decimal, hashlib, json, lzma, sqlite3, ssl, sys, sysconfig, uuid, zlib
from xml.etree import ElementTree
base = sqlite3.connect(":memory:")
data = b"a position" * 100
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "prefix": sys.prefix,
    "platform": sysconfig.get_config_var("MULTIARCH"),
    "packed": [each.decompress(each.compress(data)) == data for each in (bz2, lzma, zlib)],
    "sum": base.execute("select 40 + 2").fetchone()[0],
    "called": ctypes.CDLL(None).abs(-7),
    "third": str(decimal.Decimal(1) / 3),
    "digest": hashlib.sha256(b"").hexdigest()[:8],
    "parsed": ElementTree.fromstring("<a><b/></a>")[0].tag,
    "tls": ssl.create_default_context().minimum_version >= ssl.TLSVersion.TLSv1_2,
    "shared": ssl.OPENSSL_VERSION.split()[1],
}))
"""
PLATFORMS = {"armel": "arm-linux-gnueabi", "arm64": "aarch64-linux-gnu"}


@pytest.mark.level("chroot")
def test_interpreter_works(own: Host, facts: Facts) -> None:
    """It is what its folder says, and each library it stands on does its work."""
    python = _python(own)
    told = json.loads(own.check_output(f"{python} -I -c %s", WORK))

    assert f"/opt/python-{told['version']}/bin/python3" == python
    assert told["prefix"] == f"/opt/python-{told['version']}"
    assert told["platform"] == PLATFORMS[facts.arch]
    assert told["packed"] == [True, True, True]
    assert told["sum"] == 42
    assert told["called"] == 7
    assert told["third"] == "0.3333333333333333333333333333"
    assert told["digest"] == "e3b0c442"
    assert told["parsed"] == "b"
    assert told["tls"] is True
    assert told["shared"] in own.check_output("dpkg-query --show libssl3t64")


@pytest.mark.level("chroot")
def test_debian_s_python_stays(own: Host) -> None:
    """The system's own scripts keep the interpreter they were made for."""
    assert own.check_output("/usr/bin/python3 -I -c 'import sys; print(sys.prefix)'") == "/usr"
    assert own.check_output("command -v python3") == "/usr/bin/python3"


@pytest.mark.level("chroot", highest="chroot")
def test_files_are_the_board_s(tree: Path, facts: Facts) -> None:
    """Programs and modules are stripped and for its processor; there is nothing to link with."""
    programs = [path for path in _files(tree) if path.read_bytes().startswith(elf.MAGIC)]

    assert len(programs) > 1
    for path in programs:
        data = path.read_bytes()
        head = elf.read(data[: elf.HEAD])
        assert head is not None
        assert head.runs_on(facts.arch), path
        assert elf.stripped(data), path
    assert [path for path in _files(tree) if path.suffix == ".a"] == []


@pytest.mark.level("chroot", highest="chroot")
def test_library_needs_no_compiling(tree: Path) -> None:
    """Bytecode for every file, taken without a look at the source (PEP 552: flags 0b01)."""
    [library] = (tree / "opt").glob("python-*/lib/python3.*")
    sources = [path for path in library.rglob("*.py") if "dist-packages" not in path.parts]
    compiled = {path for path in _files(tree) if path.suffix == ".pyc"}
    tag = library.name.removeprefix("python").replace(".", "")
    missing = [
        path
        for path in sources
        if path.parent / "__pycache__" / f"{path.stem}.cpython-{tag}.pyc" not in compiled
    ]

    assert [path for path in missing if "bad" not in path.name] == []
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\1\0\0\0"}


@pytest.mark.level("chroot")
def test_service_starts_by_the_interpreter_it_is_given(host: Host) -> None:
    """Where a unit of the service names it, it runs the same command, and can import it all."""
    found = host.run("cat /etc/systemd/system/telematics.service.d/50-interpreter.conf")
    if found.failed:
        pytest.skip("this image has no SERVICE_PYTHON: the service runs by Debian's Python")
    python = _python(host)

    assert found.stdout == f"[Service]\nExecStart=\nExecStart={python} -I -m telematics run\n"
    assert host.run(f"{python} -I -c 'import telematics.service, confluent_kafka'").succeeded


def _python(host: Host) -> str:
    found: str = host.check_output("ls /opt/python-*/bin/python3")
    return found


def _files(tree: Path) -> list[Path]:
    return [path for path in (tree / "opt").rglob("*") if path.is_file() and not path.is_symlink()]
