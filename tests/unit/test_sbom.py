"""The parts of an image as SPDX and CycloneDX: all of them, valid, and the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from glovebox.config.build import Export, Sbom
from glovebox.errors import ConfigError
from glovebox.host.run import run
from glovebox.project import export, offer, sbom
from glovebox.project.compiled import Made
from tests.unit.test_export import PAPERS, assembling, builder, hand_over, names, project

if TYPE_CHECKING:
    from glovebox.build.builder import Builder
    from glovebox.project.opened import Project

__all__ = ["builder", "project"]
CHECKOUT = Path(__file__).resolve().parents[2]
INSTALLED = "Status: install ok installed\nMaintainer: Made Up <made@up.example>\nSection: misc\n"
STATUS = f"""\
Package: gpsd
{INSTALLED}Version: 3.25-5+b1
Architecture: armel
Source: gpsd (3.25-5)
Depends: libgps30 (= 3.25-5+b1), adduser
Description: hears satellites

Package: libgps30
{INSTALLED}Version: 3.25-5+b1
Architecture: armel
Source: gpsd (3.25-5)
Description: a library

Package: adduser
{INSTALLED}Version: 3.152
Architecture: all
Priority: required
Description: adds users
"""
COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: somebody
License: BSD-2-Clause
"""
PARTS = (
    Made(name="gpsd-3.26.tar.gz", version=f"sha256:{'ab' * 32}", kind="compiled", sha256="ab" * 32),
    Made(name="pyserial", version="3.5", kind="wheel", sha256="cd" * 32),
    Made(name="redis", version="8.0.2-3", source_version="5:8.0.2-3", kind="compiled",
         sha256="ef" * 32),
    Made(name="telematics", version="0.1.0", kind="compiled", licence="MIT"),
)  # fmt: skip
SUBJECT = sbom.Subject(
    name="truck_1-zero-w", suite="trixie", arch="armel", sha256="34" * 32, epoch=1_800_000_000,
    sums={("gpsd", "3.25-5+b1"): "12" * 32}, made=PARTS,
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a root with three packages."""
    root = tmp_path / "a root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(STATUS)
    for name in ("gpsd", "libgps30"):
        (root / f"usr/share/doc/{name}").mkdir(parents=True)
        (root / f"usr/share/doc/{name}/copyright").write_text(COPYRIGHT)
    return root


def parsed(root: Path, subject: sbom.Subject = SUBJECT) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give both documents."""
    texts = sbom.documents(root, subject, tuple(Sbom))
    return json.loads(texts[Sbom.SPDX]), json.loads(texts[Sbom.CYCLONEDX])


def test_all_parts_are_listed(root: Path) -> None:
    """Packages and their sources, what was compiled and from what, wheels, the service."""
    expected = {
        ("gpsd", "3.25-5+b1"), ("libgps30", "3.25-5+b1"), ("adduser", "3.152"), ("gpsd", "3.25-5"),
        ("gpsd-3.26.tar.gz", f"sha256:{'ab' * 32}"), ("pyserial", "3.5"), ("redis", "8.0.2-3"),
        ("redis", "5:8.0.2-3"), ("telematics", "0.1.0"),
    }  # fmt: skip

    spdx, cyclonedx = parsed(root)

    listed = {(one["name"], one.get("versionInfo")) for one in spdx["packages"]}
    assert listed - {("truck.1-zero-w", "trixie")} == expected
    assert {(one["name"], one["version"]) for one in cyclonedx["components"]} == expected


def test_what_is_said_of_a_part(root: Path) -> None:
    """Its package URL, its sum, its licence, and what it was compiled from."""
    spdx, cyclonedx = parsed(root)

    parts = {one["purl"]: one for one in cyclonedx["components"]}
    assert parts["pkg:deb/debian/gpsd@3.25-5%2Bb1?arch=armel"]["hashes"][0]["content"] == "12" * 32
    source = parts["pkg:deb/debian/gpsd@3.25-5?arch=source"]
    assert source["licenses"][0]["expression"] == "BSD-2-Clause"
    assert parts["pkg:pypi/pyserial@3.5"]["hashes"][0]["content"] == "cd" * 32
    assert parts["pkg:generic/telematics@0.1.0"]["licenses"] == [{"expression": "MIT"}]
    redis = parts["pkg:deb/debian/redis@5:8.0.2-3?arch=source"]
    needs = {one["ref"]: one.get("dependsOn", []) for one in cyclonedx["dependencies"]}
    assert needs[parts["pkg:generic/redis@8.0.2-3"]["bom-ref"]] == [redis["bom-ref"]]
    assert {"spdxElementId": "SPDXRef-Glovebox-3", "relationshipType": "GENERATED_FROM",
            "relatedSpdxElement": "SPDXRef-Glovebox-3-source"} in spdx["relationships"]  # fmt: skip
    assert spdx["creationInfo"]["created"] == "2027-01-15T08:00:00Z"


def test_others_read_them(root: Path, tmp_path: Path) -> None:
    """The validators of both formats have nothing to say."""
    texts = sbom.documents(root, SUBJECT, tuple(Sbom))
    (tmp_path / "truck.spdx.json").write_text(texts[Sbom.SPDX])

    document = parse_file(str(tmp_path / "truck.spdx.json"))
    assert validate_full_spdx_document(document) == []
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(texts[Sbom.CYCLONEDX]) is None


@pytest.mark.thorough
def test_the_same_bytes(root: Path) -> None:
    """Another process, whose sets have another order, writes the same."""
    code = (
        "import hashlib, sys; from pathlib import Path; from tests.unit import test_sbom as t;"
        "found = t.sbom.documents(Path(sys.argv[1]), t.SUBJECT, tuple(t.Sbom));"
        "print(*(hashlib.sha256(text.encode()).hexdigest() for text in found.values()))"
    )
    here = sbom.documents(root, SUBJECT, tuple(Sbom))
    own = [hashlib.sha256(text.encode()).hexdigest() for text in here.values()]
    for seed in ("1", "2"):
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'app'}"}
        assert run([sys.executable, "-c", code, root], env=env).stdout.split() == own


def test_no_file_of_this_machine_is_read(root: Path, tmp_path: Path) -> None:
    """A link in the image leads nowhere else, and what is no copyright harms nothing."""
    (tmp_path / "theirs").write_text(COPYRIGHT.replace("BSD-2-Clause", "GPL-3+"))
    place = root / "usr/share/doc/gpsd/copyright"
    place.unlink()
    place.symlink_to(tmp_path / "theirs")
    (root / "usr/share/doc/libgps30/copyright").write_bytes(b"Format: \xff\nLicense: (((\n")

    spdx, _ = parsed(root)

    assert "GPL-3" not in json.dumps(spdx)
    assert {one["licenseDeclared"] for one in spdx["packages"]} == {"NOASSERTION", "MIT"}


def test_an_image_without_packages(tmp_path: Path) -> None:
    """One that dpkg knows nothing of has a document of what was added."""
    (tmp_path / "empty").mkdir()
    spdx, _ = parsed(tmp_path / "empty")
    assert len(spdx["packages"]) == len(PARTS) + 2


def test_they_lie_beside_the_image(
    project: Project, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where asked for: among the sums, offered to others, and gone when nobody wants them."""
    assembling(monkeypatch, b"image")
    config = replace(project.loaded.config, export=Export(sbom=tuple(Sbom)))
    wanted = replace(project, loaded=replace(project.loaded, config=config))
    hand_over(wanted, builder)

    documents = {"glovebox-zero-w.spdx.json", "glovebox-zero-w.cdx.json"}
    assert names(project) == PAPERS | documents
    sums = (project.out / "glovebox-zero-w.img.sha256").read_text()
    for name in documents:
        digest = hashlib.sha256((project.out / name).read_bytes()).hexdigest()
        assert f"{digest}  {name}\n" in sums
    (offered,) = offer.find(project.out).offers
    assert documents <= {path.name for path in offered.shared}
    assert export.is_current(wanted, verified=True)
    assert not export.is_current(project, verified=True)
    hand_over(project, builder)
    assert names(project) == PAPERS


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before a build, with what to install; who asks for no document needs none."""
    monkeypatch.setattr(sbom, "find_spec", lambda _name: None)

    sbom.require(())
    with pytest.raises(ConfigError, match=r"export\.sbom needs .*debsbom") as caught:
        sbom.require((Sbom.SPDX,))
    assert "pip install" in str(caught.value)
