"""Apache Kafka for the tests: the jars that `setup --tests` has Maven fetch into the store."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from glovebox.errors import HostError
from glovebox.host.run import CommandError, run

POM = Path(__file__).parents[2] / "tests/kafka/pom.xml"


def folder(store: Path) -> Path:
    """Give the place of the jars that the pom names; it exists once they are whole."""
    return store / "jars" / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]


def fetch(store: Path) -> None:
    """Have Maven fetch the jars, by its own settings; raises HostError with its words."""
    target = folder(store)
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        # Maven writes beside its pom.
        pom = shutil.copy(POM, work)
        command = [
            *("mvn", "--quiet", "--batch-mode", "--file", pom),
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={work}/jars",
        ]
        try:
            run(command, env={"HOME": os.environ.get("HOME", "/root")})
        except CommandError as error:
            raise HostError(f"Maven could not fetch Kafka:\n{error.tail}") from error
        (Path(work) / "jars").rename(target)
