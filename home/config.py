"""home.yaml: read into values once, with every mistake told at once.

``sources``, ``alerts`` and ``mariadb`` are read by the modules that know them; here they stay as
YAML has them.
"""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from home.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICE = re.compile(r"[A-Za-z0-9._-]{1,12}")
TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
PORT_MAX = 65535


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where to listen."""

    host: str = "127.0.0.1"
    port: int = 8021

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """The brokers to take records from; the security words are those of the vehicle."""

    servers: str
    topics: tuple[str, ...] = ("telematics",)
    # The vehicles' live lane: shown on the map as it comes, and not kept.
    live_topic: str = ""
    security: str = "tls"
    user: str = ""
    secrets: Path = Path("secrets")


@dataclass(frozen=True, kw_only=True)
class Config:
    """One home; every field has a default that suits one machine and its own user."""

    # Where this was read; what it names is relative to it.
    file: Path = Path("home.yaml")
    folder: Path = Path("home-data")
    time_zone: str = "UTC"
    listen: Address = field(default_factory=Address)
    # Certificate and key in PEM.
    tls: tuple[Path, Path] | None = None
    behind_proxy: bool = False
    # Opens page and API beyond this machine.
    password_file: Path | None = None
    # A vehicle's name and the file with the key that it posts with.
    vehicles: Mapping[str, Path] = field(default_factory=dict)
    kafka: Kafka | None = None
    # UTC days of landing and day files that are kept; 0 is for ever.
    keep_days: int = 0
    # Streets for the map, a file of the owner's.
    streets: Path | None = None
    # As YAML has them; `home.sources`, `home.alerts` and `home.mariadb` read them.
    sources: tuple[object, ...] = ()
    alerts: Mapping[str, object] = field(default_factory=dict)
    mariadb: Mapping[str, object] = field(default_factory=dict)


@dataclass
class _Reader:
    """Takes fields out of a mapping and collects what is wrong with them."""

    where: Path
    mistakes: list[str] = field(default_factory=list)

    def wrong(self, name: str, value: object, hint: str) -> None:
        self.mistakes.append(f"{name}: {value!r} cannot be meant; hint: {hint}")

    def mapping(self, name: str, value: object, known: set[str] | None = None) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            self.wrong(name or "the file", value, "names with values, `name: value`")
            return {}
        for key in value if known is not None else ():
            if key not in (known or ()):
                near = get_close_matches(key, known or (), n=1)
                hint = f"perhaps you meant {near[0]}" if near else f"one of {sorted(known or ())}"
                self.mistakes.append(f"{name}{'.' if name else ''}{key}: unknown; hint: {hint}")
        return value

    def path(self, name: str, value: object) -> Path | None:
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            self.wrong(name, value, "the path of a file, relative to home.yaml")
            return None
        return self.where.parent / Path(value).expanduser()

    def text(self, name: str, value: object, pattern: str, hint: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            self.wrong(name, value, hint)
            return ""
        return value


def read(path: Path | None) -> Config:
    """Read home.yaml; without one every default holds."""
    if path is None:
        return Config()
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; hint: `folder: home-data` in it is enough"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    reader = _Reader(path)
    config = _config(reader, tree)
    if reader.mistakes:
        raise ConfigError("\n".join(f"{path}: {line}" for line in reader.mistakes))
    return config


def _config(reader: _Reader, tree: object) -> Config:
    values = reader.mapping("", tree, {each.name for each in fields(Config)} - {"file"})
    given: dict[str, Any] = {"file": reader.where}
    if "folder" in values:
        given["folder"] = reader.path("folder", values["folder"])
    if "time_zone" in values:
        given["time_zone"] = _time_zone(reader, values["time_zone"])
    if "listen" in values:
        given["listen"] = _address(reader, values["listen"])
    given["tls"] = _tls(reader, values.get("tls"))
    for name in ("behind_proxy",):
        given[name] = values.get(name, False)
        if not isinstance(given[name], bool):
            reader.wrong(name, given[name], "true or false")
    given["password_file"] = reader.path("password_file", values.get("password_file"))
    given["vehicles"] = _vehicles(reader, values.get("vehicles"))
    if values.get("kafka") is not None:
        given["kafka"] = _kafka(reader, values["kafka"])
    given["keep_days"] = keep = values.get("keep_days", 0)
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 0:
        reader.wrong("keep_days", keep, "a number of days, 0 keeps all of them")
    given["streets"] = reader.path("streets", values.get("streets"))
    sources = values.get("sources") or []
    if not isinstance(sources, list):
        reader.wrong("sources", sources, "a list, each with its `name:` and `url:`")
        sources = []
    given["sources"] = tuple(sources)
    for name in ("alerts", "mariadb"):
        given[name] = reader.mapping(name, values.get(name))
    _require_safe(reader, given)
    return Config(**given) if not reader.mistakes else Config()


def _require_safe(reader: _Reader, given: Mapping[str, Any]) -> None:
    """See that what is open to a network has a password, and nothing travels in plain text."""
    address = given.get("listen")
    if not isinstance(address, Address) or address.loopback:
        return
    if given["password_file"] is None:
        reader.mistakes.append(
            "listen: others reach page and map there; hint: password_file: with a file of one line"
        )
    if given["tls"] is None and not given["behind_proxy"]:
        reader.mistakes.append(
            "listen: key and password would travel in plain text; hint: tls: with certificate and "
            "key, or behind_proxy: true if something in front does TLS"
        )


def _time_zone(reader: _Reader, value: object) -> str:
    try:
        return zoneinfo.ZoneInfo(str(value)).key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        reader.wrong("time_zone", value, "a name such as Europe/Berlin")
        return "UTC"


def _address(reader: _Reader, value: object) -> Address:
    host, colon, port = str(value).rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= PORT_MAX:
        reader.wrong("listen", value, "host:port, such as 127.0.0.1:8021 or 0.0.0.0:8021")
        return Address()
    return Address(host=host.strip("[]") or "0.0.0.0", port=int(port))  # noqa: S104  asked for


def _tls(reader: _Reader, value: object) -> tuple[Path, Path] | None:
    if value is None:
        return None
    values = reader.mapping("tls", value, {"certificate", "key"})
    paths = [reader.path(f"tls.{name}", values.get(name)) for name in ("certificate", "key")]
    if paths[0] is None or paths[1] is None:
        reader.wrong("tls", value, "certificate: and key:, both PEM files")
        return None
    return paths[0], paths[1]


def _vehicles(reader: _Reader, value: object) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, entry in reader.mapping("vehicles", value).items():
        where = f"vehicles.{name}"
        if not DEVICE.fullmatch(name):
            reader.wrong(
                where, name, "the name that its records have: A-Z a-z 0-9 . _ -, 12 at most"
            )
        key = reader.path(
            f"{where}.key_file", reader.mapping(where, entry, {"key_file"}).get("key_file")
        )
        if key is None:
            reader.wrong(where, entry, "key_file: with the key that it posts with")
        else:
            found[name] = key
    return found


def _kafka(reader: _Reader, value: object) -> Kafka:
    values = reader.mapping("kafka", value, {each.name for each in fields(Kafka)})
    servers = reader.text("kafka.servers", values.get("servers"), r"\S+:\d+", "host:port,host:port")
    topics = values.get("topics", ["telematics"])
    if not isinstance(topics, list) or not all(TOPIC.fullmatch(str(each)) for each in topics):
        reader.wrong("kafka.topics", topics, "a list of topics: [telematics]")
        topics = []
    security = values.get("security", "tls")
    if security not in ("tls", "sasl", "plaintext"):
        reader.wrong("kafka.security", security, "tls, sasl or plaintext, as the vehicle's")
    live = values.get("live_topic", "")
    if live and not TOPIC.fullmatch(str(live)):
        reader.wrong("kafka.live_topic", live, "the vehicles' publish_live_topic")
    return Kafka(
        servers=servers,
        live_topic=str(live),
        topics=tuple(map(str, topics)),
        security=str(security),
        user=str(values.get("user", "")),
        secrets=reader.path("kafka.secrets", values.get("secrets", "secrets")) or Path(),
    )
