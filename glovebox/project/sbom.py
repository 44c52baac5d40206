"""The parts of an image as SPDX and CycloneDX, by debsbom; what is not a package of Debian's added.

The same image gives the same bytes: time and names come from the build, and all is sorted.
debsbom follows links as the machine does, so it is shown copies of what it reads, never a root.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from glovebox.config.build import Sbom
from glovebox.errors import ConfigError
from glovebox.host import inside
from glovebox.project import packages
from glovebox.project.packages import WHEEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from glovebox.project.compiled import Made

_STATUS = "var/lib/dpkg/status"
_OWN = uuid.UUID("6f0a4d3e-5c0f-5b7e-9d0c-6b1b1d7c1c52")  # a name space of this project's own
_LIBRARIES = ("debsbom", "cyclonedx", "spdx_tools")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the documents are about."""

    name: str
    suite: str
    arch: str
    sha256: str  # of the image: names the documents
    epoch: int
    sums: Mapping[tuple[str, str], str]  # of packages' files, by name and version
    made: Sequence[Made]


def _named(subject: Subject) -> str:
    """Give the image's name as SPDX takes one."""
    return re.sub(r"[^A-Za-z0-9.-]+", ".", subject.name)


def ending(form: Sbom) -> str:
    """Give how the name of a document ends."""
    return ".spdx.json" if form is Sbom.SPDX else ".cdx.json"


ENDINGS = tuple(ending(form) for form in Sbom)


def require(forms: Sequence[Sbom]) -> None:
    """Look whether the libraries are there, before a build begins; raises ConfigError."""
    lacking = [name for name in _LIBRARIES if find_spec(name) is None]
    if forms and lacking:
        raise ConfigError(
            f"export.sbom needs Python's debsbom, and {', '.join(lacking)} is not installed",
            hint=".venv/bin/pip install 'debsbom[cdx,spdx]', or leave out export.sbom",
        )


def documents(root: Path, subject: Subject, forms: Sequence[Sbom]) -> dict[Sbom, str]:
    """Give the documents that are asked for."""
    if not forms:
        return {}
    texts = {Sbom.SPDX: _spdx, Sbom.CYCLONEDX: _cyclonedx}
    with tempfile.TemporaryDirectory(prefix="glovebox-sbom-") as folder:
        _copy(root, Path(folder))
        found = _scanned(Path(folder), subject)  # reads licences when they are asked for
        return {form: texts[form](found, subject) for form in forms}


def _copy(root: Path, target: Path) -> None:
    """Copy what is read: dpkg's status and the copyright of each package."""
    status = inside.text(root, _STATUS)
    (target / _STATUS).parent.mkdir(parents=True)
    (target / _STATUS).write_text(status)
    for part in packages.read(packages.in_status(status)):
        name = f"usr/share/doc/{part.name}/copyright"
        if "/" not in part.name and inside.is_file(root, name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(inside.text(root, name))


def _scanned(root: Path, subject: Subject) -> Any:  # noqa: ANN401  debsbom has no types
    from debsbom.generate.generate import Debsbom  # noqa: PLC0415  only where it is asked for
    from debsbom.util.checksum import ChecksumAlgo  # noqa: PLC0415  likewise

    found = Debsbom(
        distro_name=_named(subject),
        root=root,
        distro_version=subject.suite,
        distro_arch=subject.arch,
        cdx_serialnumber=uuid.uuid5(_OWN, subject.sha256),
        spdx_namespace=urlparse(
            f"https://spdx.org/spdxdocs/{_named(subject)}-{uuid.uuid5(_OWN, subject.sha256)}"
        ),
        timestamp=datetime.fromtimestamp(subject.epoch, UTC),
        with_licenses=True,
    )
    logging.getLogger("debsbom").setLevel(logging.ERROR)  # sources have no maintainer here
    found.scan()
    for one in found.packages:
        if one.is_source() and one.copyright and not _is_read(one.copyright):
            one.copyright = None
        known = subject.sums.get((one.name, str(one.version))) if one.is_binary() else None
        if known:
            one.checksums[ChecksumAlgo.SHA256SUM] = known
    # A set has another order in each run.
    found.packages = sorted(found.packages, key=lambda one: (one.is_source(), str(one.purl())))
    return found


def _is_read(copyright_: Any) -> bool:  # noqa: ANN401  likewise
    """Tell whether a licence comes of a package's copyright, which anybody may have written."""
    try:
        return bool(list(copyright_.spdx_license_expressions()))
    except Exception:  # noqa: BLE001  a parser of a foreign text: whatever it trips over
        return False


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """An entry of both documents; what is compiled from Debian's source has two, one its source."""

    identity: str
    name: str
    version: str
    purl: str
    says: str
    sha256: str = ""
    licence: str = ""
    source: str = ""  # the identity of what it is compiled from


def _entries(made: Sequence[Made]) -> list[_Entry]:
    """Give what is to be added; a source comes right after what is compiled from it."""
    from packageurl import PackageURL  # noqa: PLC0415  likewise

    found = []
    for number, part in enumerate(made, 1):
        identity = f"Glovebox-{number}"
        source = f"{identity}-source" if part.source_version else ""
        kind = "pypi" if part.kind == WHEEL else "generic"
        found.append(
            _Entry(
                identity=identity,
                name=part.name,
                version=part.version,
                purl=PackageURL(kind, name=part.name, version=part.version).to_string(),
                says="a Python wheel" if part.kind == WHEEL else "compiled for this image",
                sha256="" if source else part.sha256,
                licence=part.licence,
                source=source,
            )
        )
        if source:
            purl = PackageURL(
                "deb", "debian", part.name, part.source_version, qualifiers={"arch": "source"}
            )
            found.append(
                _Entry(
                    identity=source,
                    name=part.name,
                    version=part.source_version,
                    purl=purl.to_string(),
                    says="Debian's source package; the sum is that of its .dsc file",
                    sha256=part.sha256,
                )
            )
    return found


def _spdx(found: Any, subject: Subject) -> str:  # noqa: ANN401  likewise
    import spdx_tools.spdx.model as spdx  # noqa: PLC0415  likewise
    from debsbom.sbom import SBOMType  # noqa: PLC0415  likewise
    from spdx_tools.spdx.jsonschema.document_converter import (  # noqa: PLC0415  likewise
        DocumentConverter,
    )

    document = found.generate(SBOMType.SPDX)
    none = spdx.SpdxNoAssertion()
    for one in _entries(subject.made):
        purpose = "SOURCE" if one.identity.endswith("-source") else "APPLICATION"
        document.packages.append(
            spdx.Package(
                spdx_id=f"SPDXRef-{one.identity}",
                name=one.name,
                version=one.version,
                download_location=none,
                files_analyzed=False,
                checksums=[spdx.Checksum(spdx.ChecksumAlgorithm.SHA256, one.sha256)]
                if one.sha256
                else [],
                license_concluded=none,
                license_declared=_licence(one.licence) if one.licence else none,
                copyright_text=none,
                comment=one.says,
                primary_package_purpose=spdx.PackagePurpose[purpose],
                external_references=[
                    spdx.ExternalPackageRef(
                        category=spdx.ExternalPackageRefCategory.PACKAGE_MANAGER,
                        reference_type="purl",
                        locator=one.purl,
                    )
                ],
            )
        )
        if purpose == "APPLICATION":
            document.relationships.append(
                spdx.Relationship(
                    f"SPDXRef-{one.identity}",
                    spdx.RelationshipType.PACKAGE_OF,
                    f"SPDXRef-{_named(subject)}",
                )
            )
        if one.source:
            document.relationships.append(
                spdx.Relationship(
                    f"SPDXRef-{one.identity}",
                    spdx.RelationshipType.GENERATED_FROM,
                    f"SPDXRef-{one.source}",
                )
            )
    document.relationships.sort(
        key=lambda one: (
            one.spdx_element_id, one.relationship_type.name, str(one.related_spdx_element_id),
            one.comment or "",
        )
    )  # fmt: skip
    return json.dumps(DocumentConverter().convert(document), indent=1, sort_keys=True) + "\n"


def _licence(text: str) -> Any:  # noqa: ANN401  likewise
    from license_expression import get_spdx_licensing  # noqa: PLC0415  likewise

    return get_spdx_licensing().parse(text)


def _cyclonedx(found: Any, subject: Subject) -> str:  # noqa: ANN401  likewise
    import cyclonedx.output as output  # noqa: PLC0415, PLR0402  likewise
    from cyclonedx.model import HashAlgorithm, HashType  # noqa: PLC0415  likewise
    from cyclonedx.model.bom_ref import BomRef  # noqa: PLC0415  likewise
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415  likewise
    from cyclonedx.model.dependency import Dependency  # noqa: PLC0415  likewise
    from cyclonedx.model.license import LicenseExpression  # noqa: PLC0415  likewise
    from cyclonedx.schema import OutputFormat, SchemaVersion  # noqa: PLC0415  likewise
    from debsbom.sbom import SBOMType  # noqa: PLC0415  likewise
    from packageurl import PackageURL  # noqa: PLC0415  likewise

    bom = found.generate(SBOMType.CycloneDX)
    whole = next(one for one in bom.dependencies if one.ref == bom.metadata.component.bom_ref)
    for one in _entries(subject.made):
        bom.components.add(
            Component(
                name=one.name,
                version=one.version,
                type=ComponentType.APPLICATION,
                bom_ref=one.identity,
                purl=PackageURL.from_string(one.purl),
                description=one.says,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one.sha256)]
                if one.sha256
                else [],
                licenses=[LicenseExpression(one.licence)] if one.licence else [],
            )
        )
        needs = [Dependency(ref=BomRef(one.source))] if one.source else []
        bom.dependencies.add(Dependency(ref=BomRef(one.identity), dependencies=needs))
        if not one.identity.endswith("-source"):
            whole.dependencies.add(Dependency(ref=BomRef(one.identity)))
    made = output.make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    return json.dumps(json.loads(made), indent=1, sort_keys=True) + "\n"
