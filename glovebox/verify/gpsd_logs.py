"""What real receivers said, and what gpsd made of it: the logs in gpsd's own source package.

`setup --tests` has apt fetch them, of the version that this host's gpsd has, into the store.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from glovebox.errors import HostError
from glovebox.host.run import CommandError, run

APT = Path("/etc/apt")
_KIND = re.compile(r"^(Types:\s*)deb\s*$|^deb(?=\s)", re.MULTILINE)


def folder(store: Path) -> Path:
    """Give the place of the logs, each `NAME.log` with its `NAME.log.chk`; it exists once whole."""
    return store / "gpsd-logs"


def fetch(store: Path) -> None:
    """Have apt fetch the source package from this host's mirrors; HostError with its words."""
    target = folder(store)
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        work = Path(name)
        work.chmod(0o755)  # apt reads its lists as a user of its own
        options = _apt_of_sources(work)
        try:
            run(["apt-get", "--quiet", *options, "update"])
            run(["apt-get", "--quiet", *options, "source", "--download-only", "gpsd"], cwd=work)
            archive = archive_in(work)
            logs = work / "logs"
            logs.mkdir()
            run(
                ["tar", "--extract", "--file", archive, "--directory", logs, "--wildcards",
                 "--strip-components", "3", "--no-same-owner", "*/test/daemon/*.log*"],
            )  # fmt: skip
        except (CommandError, ValueError) as error:
            said = error.tail if isinstance(error, CommandError) else str(error)
            raise HostError(f"apt could not fetch gpsd's source:\n{said}") from error
        logs.rename(target)


def archive_in(work: Path) -> Path:
    """Give the archive that upstream released; beside it may lie its signature, as on Debian 13."""
    (archive,) = (path for path in work.glob("gpsd_*.orig.tar.*") if path.suffix != ".asc")
    return archive


def _apt_of_sources(work: Path) -> list[str]:
    """Give apt's options for this host's archives, of sources in place of packages."""
    for part in ("parts", "lists/partial", "cache/archives/partial"):
        (work / part).mkdir(parents=True)
    listed = [APT / "sources.list", *(APT / "sources.list.d").glob("*")]
    for path in listed:
        if path.suffix in {".list", ".sources"} and path.is_file():
            (work / "parts" / path.name).write_text(of_sources(path.read_text()))
    settings = {
        "Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": f"{work}/parts",
        "Dir::State::lists": f"{work}/lists", "Dir::Cache": f"{work}/cache",
    }  # fmt: skip
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def of_sources(listed: str) -> str:
    """Turn a list of package archives, old or new in form, into one of their sources."""
    return _KIND.sub(lambda found: f"{found[1] or ''}deb-src", listed)
