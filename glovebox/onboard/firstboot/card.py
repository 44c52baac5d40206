"""What stands in glovebox.yaml on the boot partition, read with the builder's own validation.

The keys are those of image.yaml that can be changed without building, and `broker`. What other
tools put there is laid below it, see `forms`. Nothing is written here. All mistakes come at once,
but for what the service would miss, which can be told only when the rest is right. None of them
quotes a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping  # noqa: TC003  the reader looks at the hints when it runs
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from glovebox.config.problem import Problem
from glovebox.config.reader import DEFAULT, Reader
from glovebox.config.rules import Place
from glovebox.config.schema import Config, Network, Secret
from glovebox.config.yamltree import merge
from glovebox.onboard.firstboot import certificates
from glovebox.onboard.firstboot.forms.read import NOTHING, Together
from telematics import address, settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from glovebox.config.yamltree import Node

FILE = "glovebox.yaml"
CERTIFICATES = ("ca.pem", "client.pem", "client.key")
TAKEN = ("hostname", "user", "wifi", "timezone", "keyboard", "service", "broker")
# Without its comments; reading YAML takes a small board a minute for a few of these.
LARGEST = 64 * 1024
# With them, and the most that is read of any file.
LONGEST = 256 * 1024
NAME_LINE = re.compile(r"^([^:\n]+):", re.MULTILINE)
COMMENT_LINE = re.compile(rb"^[ \t]*(#[^\n]*)?\r?(\n|\Z)", re.MULTILINE)


class MistakesError(Exception):
    """The owner's file cannot be taken over; it holds every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the reasons."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Broker:
    """What the board proves itself with where its records go."""

    password: Secret | None = field(
        default=None, metadata={"help": "of `publish_user`", "check": address.wrong_password}
    )
    api_key: Secret | None = field(
        default=None, metadata={"help": "for HTTP", "check": address.wrong_key}
    )


@dataclass(frozen=True, kw_only=True)
class OnCard(Config):
    """The keys of image.yaml, and what else an owner may write."""

    broker: Broker = field(default_factory=Broker)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things lie; another root in tests."""

    boot: Path
    data: Path
    root: Path

    @property
    def mistake(self) -> Path:
        """Give the file in RAM that is there while the card holds a mistake; the LED shows it."""
        return self.root / "run/glovebox/card-mistake"

    @property
    def kept(self) -> Path:
        """Give the folder of what was taken over."""
        return self.data / "settings"

    @property
    def service(self) -> Path:
        """Give the service's settings as they are now: the image's, with the owner's over them."""
        return self.root / "etc/glovebox/telematics.json"

    @property
    def secrets(self) -> Path:
        """Give the folder of the broker's certificates and keys as they are now."""
        return self.root / "etc/glovebox/publish"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the owner asks for. None, or an empty one: it stays as it is."""

    hostname: str | None = None
    user: str | None = None
    password_hash: Secret | None = None
    ssh_keys: tuple[str, ...] = ()
    country: str | None = None
    networks: tuple[Network, ...] | None = None
    timezone: str | None = None
    keyboard: str | None = None
    service: Mapping[str, object] = field(default_factory=dict)
    credentials: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def nothing(self) -> bool:
        """Tell whether it asks for nothing at all."""
        return self == Wanted()

    @property
    def names(self) -> list[str]:
        """Name what it asks for, without a value."""
        return [name for name in self.__dataclass_fields__ if getattr(self, name) not in _SILENT]


_SILENT: tuple[object, ...] = (None, (), {})


def read(
    text: bytes,
    certificates_: Mapping[str, bytes],
    places: Places,
    forms: Together = NOTHING,
) -> Wanted:
    """Read and check what is on the card; raises MistakesError with all that is wrong."""
    place = Place(folder=places.boot, checkout=places.root, home=places.root / "root")
    reader = Reader(place=place)
    tree = merge(forms.settings, _only_taken(_parsed(text, reader), reader))
    reader.problems += forms.problems
    config = reader.read(tree, OnCard)
    if config is None:
        raise MistakesError(_in_order(reader.problems))
    wanted = _wanted(config, reader, certificates_)
    reader.problems += _about_user(config, reader, places)
    if not reader.problems:
        reader.problems += _about_service(wanted, reader, places)
    if reader.problems:
        raise MistakesError(_in_order(reader.problems))
    return wanted


def _parsed(text: bytes, reader: Reader) -> Node:
    """Read the file's text; one too large is no settings."""
    if len(text) > LONGEST or len(COMMENT_LINE.sub(b"", text)) > LARGEST:
        what = "the file is too large"
        cure = f"{LARGEST >> 10} KiB at most, and {LONGEST >> 10} KiB with its comments"
        raise MistakesError([Problem(path="", what=what, cure=cure, source=FILE)])
    return reader.parse_text(text, source=FILE)


def _only_taken(tree: Node, reader: Reader) -> Node:
    """Leave out the keys that only a build can change, and say so."""
    if not isinstance(tree.value, dict):
        return tree
    known = set(Config.__dataclass_fields__) - set(TAKEN)
    for name in known & set(tree.value):
        node = tree.value[name]
        what = "cannot be changed on the card"
        cure = f"set it in image.yaml and build again; on the card: {', '.join(TAKEN)}"
        reader.problems.append(
            Problem(path=name, what=what, cure=cure, source=FILE, line=node.line)
        )
    left = {name: node for name, node in tree.value.items() if name not in known}
    return replace(tree, value=left)


def _wanted(config: OnCard, reader: Reader, certificates_: Mapping[str, bytes]) -> Wanted:
    """Take what was written, and leave out what only has its default."""

    def given(path: str) -> bool:
        return reader.origins.get(path, DEFAULT) != DEFAULT

    service = {
        name: value for name, value in asdict(config.service).items() if given(f"service.{name}")
    }
    credentials = dict(certificates_)
    for name, secret in (("password", config.broker.password), ("api-key", config.broker.api_key)):
        if secret is not None:
            credentials[name] = f"{secret.reveal()}\n".encode()
    return Wanted(
        hostname=config.hostname if given("hostname") else None,
        user=config.user.name if given("user.name") else None,
        password_hash=config.user.password_hash,
        ssh_keys=config.user.ssh_keys,
        country=config.wifi.country,
        networks=config.wifi.networks if given("wifi.networks") else None,
        timezone=config.timezone if given("timezone") else None,
        keyboard=config.keyboard if given("keyboard") else None,
        service=service,
        credentials=credentials,
    )


def _about_user(config: OnCard, reader: Reader, places: Places) -> list[Problem]:
    """Say what would lock the owner out, or take another's name."""
    found = []
    origin = reader.origins.get("user.ssh_keys", DEFAULT)
    if origin != DEFAULT and not config.user.ssh_keys:
        what = "holds no key: nobody could log in"
        found.append(_problem("user.ssh_keys", what, "write one, or remove the line", origin))
    origin = reader.origins.get("user.name", DEFAULT)
    if origin != DEFAULT and config.user.name != first_user(places):
        for kind, table in (("an account", "etc/passwd"), ("a group", "etc/group")):
            names = NAME_LINE.findall((places.root / table).read_text(encoding="utf-8"))
            if config.user.name not in names:
                continue
            what = f"'{config.user.name}' is {kind} that this system has"
            found.append(_problem("user.name", what, "take another name", origin))
            break
    return found


def _about_service(wanted: Wanted, reader: Reader, places: Places) -> list[Problem]:
    """Say what the service would miss, once the owner's settings lie over the present ones."""
    if not (wanted.service or wanted.credentials):
        return []
    if not places.service.exists():
        what = "this image has no service that records"
        return [_problem("service", what, "build one with the stage telematics", FILE)]
    present = json.loads(places.service.read_text(encoding="utf-8"))
    origin = reader.origins.get("service.publish_to", FILE)
    try:
        merged = settings.check(present | wanted.service)
    except settings.SettingsError as error:
        # What is on the card and what the image has do not go together.
        what = f"with what this board has, {str(error).splitlines()[0]}"
        return [_problem("service", what, "", origin)]
    there = {path.name for path in places.secrets.glob("*")} | set(wanted.credentials)
    found = [
        _problem("service.publish_to", what, cure, origin)
        for what, cure in certificates.missing(merged, there)
    ]
    found += [
        _problem("", f"{name} {what}", cure, FILE)
        for name, what, cure in certificates.wrong(
            wanted.credentials, card=places.boot, present=places.secrets
        )
    ]
    return found


def first_user(places: Places) -> str:
    """Give the name of the first user as it is now."""
    baked = (places.root / "etc/glovebox/baked").read_text(encoding="utf-8")
    return dict(line.split("=", 1) for line in baked.splitlines() if "=" in line)["user"]


def _problem(path: str, what: str, cure: str, origin: str) -> Problem:
    source, _, line = origin.partition(":")
    return Problem(
        path=path, what=what, cure=cure, source=source or FILE, line=int(line) if line else 0
    )


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.source, problem.line))
