"""One function per kind of value: text in, the value out, or what is wrong and the cure.

No rule quotes the value in what it says: the reader does, and knows which values are secret.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import functools
import re
import zoneinfo
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from glovebox.config.problem import WrongValueError

AUTO = "auto"
DEFAULT_HOSTNAME = "glovebox"
SUITES = ("bullseye", "bookworm", "trixie", "forky", "sid")

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

MAX_SSID_BYTES = 32  # IEEE 802.11

# The accounts and groups every Debian system has, see base-passwd. The first user has a group of
# his own name: a second `sudo` would be another one's, and the first would vanish with a rename.
_SYSTEM_USERS = {
    *("root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp"),
    *("proxy", "www-data", "backup", "list", "irc", "nobody"),
}
_SYSTEM_GROUPS = {
    *("adm", "tty", "disk", "kmem", "dialout", "fax", "voice", "cdrom", "floppy", "tape", "sudo"),
    *("audio", "dip", "operator", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff"),
    *("users", "nogroup"),
}
# Those that the packages and files of our stages make: udev, systemd, SSH, the network, gpsd, ours.
_STAGES_NAMES = {
    *("input", "sgx", "clock", "kvm", "render", "gpio", "i2c", "spi", "crontab", "netdev"),
    *("systemd-journal", "systemd-network", "systemd-resolve", "systemd-timesync"),
    *("systemd-coredump", "systemd-oom", "messagebus", "polkitd", "avahi", "avahi-autoipd"),
    *("sshd", "_ssh", "ssh", "_chrony", "chrony", "gpsd", "bluetooth", "lpadmin", "redis", "home"),
    *("queue", "telematics", "glovebox"),
}

# Key types sshd accepts by default, see ssh-keygen(1).
_SSH_KEY_TYPES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)

# crypt(5): yescrypt as mkpasswd and Debian's passwd write it, SHA-512, and SHA-256, which is what
# Raspberry Pi Imager 1.x makes.
_PASSWORD_HASHES = (
    re.compile(r"\$y\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}"),
    re.compile(r"\$6\$(rounds=[0-9]{4,9}\$)?[^$:\s]{1,16}\$[./A-Za-z0-9]{86}"),
    re.compile(r"\$5\$(rounds=[0-9]{4,9}\$)?[^$:\s]{1,16}\$[./A-Za-z0-9]{43}"),
)
_HASH_CURE = "make one with: mkpasswd -m yescrypt, and put it in single quotes"


@dataclass(frozen=True, kw_only=True)
class Place:
    """From where relative paths and names in the configuration are looked up."""

    folder: Path  # of the file that holds the value
    checkout: Path  # holds stages/ and overlays/
    home: Path  # what ~ stands for

    def path(self, text: str) -> Path:
        """Resolve a path as its author meant it."""
        if text == "~" or text.startswith("~/"):
            return self.home / text[2:]
        return self.folder / text


def nearest(word: str, known: list[str] | tuple[str, ...], *, otherwise: str = "") -> str:
    """Give the cure for a misspelt word."""
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean {close[0]}?" if close else otherwise


def hostname(text: str) -> str:
    """Check one label of a host name, RFC 1123."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text):
        what = "is not a host name"
        cure = "1 to 63 of a-z, 0-9 and -, with - neither first nor last; no dots"
        raise WrongValueError(what, cure)
    return text


def user_name(text: str) -> str:
    """Check a login name, as Debian's adduser and pi-gen take it."""
    if not re.fullmatch(r"[a-z][-a-z0-9_]{0,31}", text):
        what = "is not a login name"
        raise WrongValueError(what, "up to 32 of a-z, 0-9, - and _, beginning with a letter")
    for names, what in (
        (_SYSTEM_USERS, "is an account that every Debian has"),
        (_SYSTEM_GROUPS, "is a group that every Debian has"),
        (_STAGES_NAMES, "is an account that the stages make"),
    ):
        if text in names:
            raise WrongValueError(what, "take another name, such as pi")
    return text


def password_hash(text: str) -> str:
    """Check a password hash; a password in clear is refused."""
    if any(shape.fullmatch(text) for shape in _PASSWORD_HASHES):
        return text
    if text.startswith(("$y$", "$6$", "$5$")):
        what = "is a password hash that is damaged or cut short"
    elif re.match(r"\$[a-z0-9]+\$", text):
        what = "is a password hash of a kind that is not accepted"
    else:
        what = "is not a password hash; a password in clear is refused"
    raise WrongValueError(what, _HASH_CURE)


def ssh_key(text: str, place: Place) -> str:
    """Check a public key, or read it where its .pub file is named."""
    if "PRIVATE KEY" in text:
        raise _private_key()
    words = text.split()
    if len(words) == 1 and (text.endswith(".pub") or text.startswith(("/", "./", "../", "~/"))):
        return _ssh_key_file(place.path(text))
    return public_key(text)


def _ssh_key_file(path: Path) -> str:
    if path.suffix != ".pub":
        what = "names a file that is not a .pub file"
        raise WrongValueError(what, "name the public key, the file that ends in .pub")
    try:
        data = path.read_bytes()
    except OSError as error:
        what = f"names {path}, which cannot be read"
        raise WrongValueError(what, "make a key with: ssh-keygen -t ed25519") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        what = f"names {path}, which is text in UTF-16, as PowerShell writes it"
        raise WrongValueError(what, f"iconv -f utf-16 -t utf-8 {path} -o key.pub, and name that")
    text = data.decode("utf-8-sig", errors="replace")
    if "BEGIN SSH2 PUBLIC KEY" in text or text.startswith("PuTTY-User-Key-File"):
        what = f"names {path}, which is a key in the form of PuTTY"
        raise WrongValueError(
            what, f"ssh-keygen -i -f {path} >key.pub, or copy what PuTTYgen shows"
        )
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if "PRIVATE KEY" in text:
        raise _private_key()
    if len(lines) != 1:
        what = f"names {path}, which does not hold exactly one key"
        raise WrongValueError(what, "name a .pub file as ssh-keygen writes it")
    return public_key(lines[0])


def public_key(text: str) -> str:
    """Check the text of a public key: its type, and that the key is whole."""
    if "PRIVATE KEY" in text:
        raise _private_key()
    kind, _, rest = text.strip().partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    cure = "give one line as ssh-keygen writes it into a .pub file, or the path to such a file"
    if kind == "ssh-dss":
        what = "is a DSA key, which today's SSH refuses"
        raise WrongValueError(what, "make another with: ssh-keygen -t ed25519")
    if kind not in _SSH_KEY_TYPES:
        what = "is not a public SSH key"
        raise WrongValueError(what, cure)
    try:
        parts = _wire_parts(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError) as error:
        what = "is a public SSH key that is damaged or cut short"
        raise WrongValueError(what, cure) from error
    if len(parts) < 2 or parts[0] != kind.encode():  # noqa: PLR2004  the type, then the key
        what = "is a public SSH key whose type does not fit its content"
        raise WrongValueError(what, cure)
    if "\n" in comment:
        what = "holds more than one line"
        raise WrongValueError(what, "give each key its own entry in the list")
    return " ".join([kind, encoded, *comment.split()])


def _private_key() -> WrongValueError:
    what = "is a private key, which must never be shared"
    return WrongValueError(what, "give the public one, the file that ends in .pub")


def _wire_parts(blob: bytes) -> list[bytes]:
    """Split a key into its strings, each after its length in four bytes, RFC 4251."""
    parts = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        part, blob = blob[4 : 4 + size], blob[4 + size :]
        if not part or len(part) != size:
            message = "cut short"
            raise ValueError(message)
        parts.append(part)
    return parts


def ssid(text: str) -> str:
    """Check the name of a wireless network."""
    if not 1 <= len(text.encode()) <= MAX_SSID_BYTES:
        what = "is not a network name"
        raise WrongValueError(what, f"1 to {MAX_SSID_BYTES} bytes; letters such as ä count as two")
    return text


def psk(text: str) -> str:
    """Check a WPA passphrase, or the 256-bit key derived from it."""
    if not re.fullmatch(r"[ -~]{8,63}|[0-9A-Fa-f]{64}", text):
        what = "is not a WPA passphrase"
        raise WrongValueError(what, "8 to 63 ASCII characters, or the key as 64 hex digits")
    return text


def country(text: str) -> str:
    """Check an ISO 3166 alpha-2 code against the host's table, where it has one."""
    cure = "two capital letters by ISO 3166, such as DE"
    if not re.fullmatch(r"[A-Z]{2}", text):
        what = "is not a country code"
        short = re.fullmatch(r"[A-Za-z]{2}", text)
        raise WrongValueError(what, f"write {text.upper()}" if short else cure)
    if text not in (_countries() or {text}):
        what = "is no country"
        raise WrongValueError(what, "the United Kingdom is GB" if text == "UK" else cure)
    return text


@functools.cache
def _countries() -> frozenset[str]:
    for folder in zoneinfo.TZPATH:
        table = Path(folder, "iso3166.tab")
        if table.is_file():
            lines = table.read_text(encoding="utf-8").splitlines()
            return frozenset(line[:2] for line in lines if line and not line.startswith("#"))
    return frozenset()


def timezone(text: str) -> str:
    """Check a time zone against the host's tzdata; without it, only its shape."""
    shaped = re.fullmatch(r"[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", text)
    today = _todays_name(text)
    if today:
        what = "is a name that today's Debian has no more"
        raise WrongValueError(what, f"write {today}")
    # One look at a file: listing all zones takes longer than everything else here together.
    if shaped and any(Path(folder, text).is_file() for folder in zoneinfo.TZPATH):
        return text
    known = zoneinfo.available_timezones()
    if not shaped or (known and text not in known):
        what = "is not a time zone"
        cities = {name.rpartition("/")[2]: name for name in sorted(known)}
        close = difflib.get_close_matches(text.rpartition("/")[2], cities, 1)
        cure = f"did you mean {cities[close[0]]}?" if close else "write it as Europe/Berlin"
        raise WrongValueError(what, cure)
    return text


# Once zones of their own, since tzdata 2024b other names of these; in tzdata-legacy with the rest.
_NO_ZONES = {
    "CET": "Europe/Brussels", "CST6CDT": "America/Chicago", "EET": "Europe/Athens",
    "EST": "America/Panama", "EST5EDT": "America/New_York", "HST": "Pacific/Honolulu",
    "MET": "Europe/Brussels", "MST": "America/Phoenix", "MST7MDT": "America/Denver",
    "PST8PDT": "America/Los_Angeles", "WET": "Europe/Lisbon",
}  # fmt: skip


def _todays_name(text: str) -> str | None:
    """Give the name of a zone that is listed by an old one: those are in tzdata-legacy now."""
    for folder in map(Path, zoneinfo.TZPATH):
        links, zones = folder / "tzdata.zi", folder / "zone.tab"
        if not links.is_file() or not zones.is_file():
            continue
        if re.search(
            rf"^[A-Z]{{2}}\t\S+\t{re.escape(text)}(\t|$)", zones.read_text(), re.MULTILINE
        ):
            return None
        if text in _NO_ZONES:
            return _NO_ZONES[text]
        found = re.search(rf"^L (\S+) {re.escape(text)}$", links.read_text(), re.MULTILINE)
        kept = text in ("UTC", "GMT") or text.startswith("Etc/")
        return found[1] if found and not kept else None
    return None


def locale(text: str) -> str:
    """Check the shape of a locale; only UTF-8 is built."""
    if not re.fullmatch(r"(C|[a-z]{2,3}_[A-Z]{2})\.UTF-8(@[a-z]+)?", text):
        what = "is not a UTF-8 locale"
        raise WrongValueError(what, "write it as C.UTF-8 or de_DE.UTF-8")
    return text


def keyboard(text: str) -> str:
    """Check the shape of an XKB layout, or several with commas."""
    if text == "uk":
        what = "is not a keyboard layout"
        raise WrongValueError(what, "the United Kingdom's is gb, Ukraine's is ua")
    other = {"en": "us or gb", "sv": "se", "da": "dk", "ja": "jp"}
    if text in other:
        what = "is a language, not a keyboard layout"
        raise WrongValueError(what, f"write {other[text]}")
    if not re.fullmatch(r"[a-z]{2,8}(,[a-z]{2,8}){0,3}", text):
        what = "is not a keyboard layout"
        raise WrongValueError(what, "an XKB layout such as us, gb or de")
    return text


def size(text: str) -> int:
    """Read a size in bytes, with or without a unit."""
    match = re.fullmatch(r"([0-9]{1,18})(\.[0-9]{1,9})? ?([KMGT]?)(iB|B)?", text, re.IGNORECASE)
    if match:
        base = 1024 if (match[4] or "").lower() == "ib" else 1000
        unit: int = base ** " KMGT".index(match[3].upper() or " ")
        return int(Decimal(f"{match[1]}{match[2] or ''}") * unit)
    what = "is not a size"
    raise WrongValueError(what, "write it as 512MiB or 4GiB")


def url(text: str) -> str:
    """Check an address that can be fetched."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in {"http", "https"} and parts.hostname and not parts.username
    except ValueError:
        whole = False
    if not whole or re.search(r"\s", text):
        what = "is not an address to fetch from"
        raise WrongValueError(what, "write https://host/path, without a user name in it")
    return text


def sha256(text: str) -> str:
    """Check a digest, and write it in small letters."""
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        what = "is not a SHA-256 sum"
        raise WrongValueError(what, "the 64 hex digits that sha256sum prints")
    return text.lower()


# What a stage sees of itself. Places of one run: they are part of no key.
PLACES = (
    "BASE_DIR", "SCRIPT_DIR", "WORK_DIR", "DEPLOY_DIR", "LOG_FILE", "EXPORT_CONFIG_DIR",
    "STAGE", "STAGE_DIR", "STAGE_WORK_DIR", "ROOTFS_DIR",
    "PREV_STAGE", "PREV_STAGE_DIR", "PREV_ROOTFS_DIR", "STAGE_LIST",
)  # fmt: skip
# Where programs, libraries and start files are looked for, by the loader, shells and languages.
_RESERVED = re.compile(
    r"PATH|HOME|PWD|OLDPWD|TMPDIR|IFS|ENV|CDPATH|GLOBIGNORE|PROMPT_COMMAND|PS4|SHELLOPTS|BASHOPTS"
    r"|BASH_.*|LD_.*|GLIBC_.*|GCONV_PATH|LOCPATH|NLSPATH|PYTHON.*|PERL.*|GLOVEBOX_.*|QEMU_.*"
    r"|APT_CONFIG|DPKG_.*|TOOLS_OUT.*|SOURCES|OUT|SYSROOT|LIBRARIES"
)


def variable(name: str) -> str:
    """Check the name of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        what = "is not the name of a variable"
        raise WrongValueError(what, "letters, digits and _, not beginning with a digit")
    if is_reserved(name):
        what = "cannot be set: it tells programs of the build machine where things are"
        raise WrongValueError(what, "let the script that needs it set it")
    return name


def is_reserved(name: str) -> bool:
    """Tell whether a variable is the build's own: host scripts and the cage run by its value."""
    return name in PLACES or _RESERVED.fullmatch(name) is not None


def suite(text: str) -> str:
    """Check the name of a Debian release."""
    if text not in SUITES:
        what = "is not a Debian suite"
        raise WrongValueError(what, nearest(text, SUITES, otherwise=f"one of {', '.join(SUITES)}"))
    return text


def existing(text: str, place: Place) -> str:
    """Check the path of a file."""
    path = place.path(text)
    if not path.is_file():
        what = "is a file that is not there"
        raise WrongValueError(what, f"looked for {path}")
    return str(path)


def stage(text: str, place: Place) -> str:
    """Check a name below stages/, or a path to a stage elsewhere."""
    return _folder(text, place, "stages")


def overlay(text: str, place: Place) -> str:
    """Check a name below overlays/, or a path to an overlay elsewhere."""
    return _own_folder(text, place, "overlays", "overlay")


def templates(text: str, place: Place) -> str:
    """Check a name below templates/, or a path to a folder of templates elsewhere."""
    return _own_folder(text, place, "templates", "templates")


def _own_folder(text: str, place: Place, kind: str, action: str) -> str:
    """Check an owner's folder, whose name may not be that of one the image's own stages lay."""
    resolved = _folder(text, place, kind)
    path = Path(resolved) if "/" in resolved else place.checkout / kind / resolved
    laid_by = _shipped(place.checkout, kind, action).get(path.name)
    if laid_by is not None:
        shipped = place.checkout / kind / path.name
        link = laid_by.relative_to(place.checkout)
        if path.resolve() == shipped.resolve():
            what = f"is laid by the image's own stage already, by {link}"
            raise WrongValueError(what, "leave it out, or copy it to a name of your own")
        what = f"has the name of the image's own {shipped}, which {link} lays"
        raise WrongValueError(what, f"give {path} another name")
    return resolved


def _shipped(checkout: Path, kind: str, action: str) -> dict[str, Path]:
    """Give the folders that the image's own stages lay, each with the link that names it."""
    links = sorted((checkout / "stages").glob(f"*/*/[0-9][0-9]-{action}"))
    return {
        link.resolve().name: link
        for link in links
        if link.is_symlink() and link.resolve().parent == (checkout / kind).resolve()
    }


def _folder(text: str, place: Place, kind: str) -> str:
    """Keep a name as it is, make a path whole; the folder must be there."""
    if "/" in text or text.startswith((".", "~")):
        path = place.path(text)
        if not path.is_dir():
            what = "is a folder that is not there"
            raise WrongValueError(what, f"looked for {path}")
        return str(path)
    there = place.checkout / kind
    if not text or not (there / text).is_dir():
        what = f"is not a folder below {kind}/"
        names = sorted(found.name for found in there.glob("*/"))
        has = f"it has {', '.join(names)}" if names else "a path begins with ./ or /"
        raise WrongValueError(what, nearest(text, names, otherwise=has))
    return text
