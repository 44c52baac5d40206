"""The system: of the right suite and processor, its owner's and nobody else's."""

from __future__ import annotations

import re
import zoneinfo
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from glovebox.card import elf
from glovebox.config import rules
from glovebox.config.build import RASPIOS
from glovebox.config.problem import WrongValueError
from glovebox.config.rules import AUTO, DEFAULT_HOSTNAME
from glovebox.verify.verify import Level

if TYPE_CHECKING:
    from testinfra.host import Host

    from glovebox.verify.verify import Facts, Target

pytestmark = pytest.mark.level("chroot")

STOCK = "a stock image has its own services, accounts and SSH settings"
SAMPLE = ("/bin/bash", "/usr/bin/busybox", "/usr/bin/dpkg", "/usr/sbin/sshd", "/usr/sbin/sudo",
          "/usr/lib/systemd/systemd", "/usr/bin/python3", "/usr/sbin/gpsd")  # fmt: skip


def test_suite(host: Host, facts: Facts) -> None:
    """The system is of the suite that was asked for."""
    release = host.check_output("cat /etc/os-release")

    assert f"VERSION_CODENAME={facts.suite}" in release.splitlines()


@pytest.mark.unchanging
def test_architecture(own: Host, facts: Facts) -> None:
    """Both dpkg and the programs themselves are for the board's processor."""
    assert own.check_output("dpkg --print-architecture") == facts.arch
    found = own.check_output(
        f"set --; for each in {' '.join(SAMPLE)}; do [ -e $each ] && set -- $@ $each; done;"
        f" head --quiet --bytes {elf.HEAD} $@ | od -An -v -w{elf.HEAD} -tx1"
    )
    heads = [elf.read(bytes.fromhex(line)) for line in found.splitlines()]

    assert len(heads) >= 3
    assert all(head is not None and head.runs_on(facts.arch) for head in heads), heads


def test_no_foreign_architecture(host: Host, facts: Facts) -> None:
    """No other architecture is known to dpkg."""
    if facts.base == RASPIOS:
        pytest.skip("Raspberry Pi OS has kernels of another architecture beside its own")
    assert host.check_output("dpkg --print-foreign-architectures") == ""


@pytest.mark.unchanging
def test_packages_are_whole(host: Host) -> None:
    """Every package is installed and configured; none was left half done."""
    assert host.check_output("dpkg --audit") == ""


def test_hostname(host: Host, facts: Facts, target: Target) -> None:
    """The board bears its name, or one of its own where it shall, and knows itself by it."""
    name = host.check_output("cat /etc/hostname")
    wanted = facts.hostname
    if facts.hostname == AUTO:
        alone = target.level is Level.CHROOT or not facts.car
        wanted = DEFAULT_HOSTNAME if alone else f"{DEFAULT_HOSTNAME}-[0-9a-f]{{8}}"
    assert re.fullmatch(wanted, name)
    own = [line.split() for line in host.check_output("cat /etc/hosts").splitlines()]
    assert ["127.0.1.1", name] in own


@pytest.mark.unchanging
def test_time_zones(host: Host) -> None:
    """Every time zone that image.yaml may name by the build machine's tzdata is in the image."""
    there = host.check_output("cd /usr/share/zoneinfo && find * -type f -o -type l").split()
    taken = []
    for name in zoneinfo.available_timezones():
        with suppress(WrongValueError):
            taken.append(rules.timezone(name))

    assert len(taken) > 300
    assert set(taken) <= set(there)


def test_timezone(host: Host, facts: Facts) -> None:
    """The clock shows the owner's time."""
    assert host.check_output("readlink /etc/localtime").endswith(f"zoneinfo/{facts.timezone}")
    assert host.run("test -s /etc/localtime").succeeded


@pytest.mark.unchanging
def test_locale(own: Host, facts: Facts) -> None:
    """The language is the owner's, and it is there: a locale that is not makes perl complain."""
    assert f"LANG={facts.locale}" in own.check_output("cat /etc/default/locale").splitlines()
    complaint = own.run("LANG=%s LC_ALL=%s locale 2>&1 >/dev/null", facts.locale, facts.locale)
    assert complaint.stdout == ""


def test_user(host: Host, facts: Facts) -> None:
    """The first user may use sudo, has a shell and a home of their own."""
    groups = host.check_output("id --groups --name %s", facts.user).split()
    assert "sudo" in groups
    entry = host.check_output("getent passwd %s", facts.user).split(":")
    assert entry[5:] == [f"/home/{facts.user}", "/bin/bash"]
    owner = host.check_output(f"stat --format %U /home/{facts.user}")
    assert owner == facts.user


def test_nobody_has_a_password(host: Host, facts: Facts) -> None:
    """No account has a password but, if the owner gave one, the first user's."""
    shadow = [line.split(":")[:2] for line in host.check_output("cat /etc/shadow").splitlines()]
    with_password = {name for name, word in shadow if word[:1] not in {"!", "*"}}

    assert with_password == ({facts.user} if facts.password else set())


def test_authorized_keys_are_private(host: Host, facts: Facts) -> None:
    """The file sshd trusts belongs to its user and nobody else can write to it."""
    if facts.password:
        pytest.skip("this owner gave a password, so there may be no key")
    path = f"/home/{facts.user}/.ssh"
    told = host.check_output(f"stat --format '%U %a' {path} {path}/authorized_keys")
    assert told.splitlines() == [f"{facts.user} 700", f"{facts.user} 600"]


def test_sshd_settings(own: Host, facts: Facts) -> None:
    """What sshd takes its settings for, all files together: keys only, and never root."""
    if facts.base != "debian" and not facts.car:
        pytest.skip(STOCK)
    # It wants a host key to answer, and a shipped image has none.
    told = own.check_output(
        "set -e; mkdir -p /run/sshd; folder=$(mktemp -d); "
        'ssh-keygen -q -t ed25519 -N "" -f $folder/key; sshd -T -h $folder/key; rm -r $folder'
    )
    settings = dict(line.split(" ", 1) for line in told.splitlines() if " " in line)

    assert settings["passwordauthentication"] == "no"
    assert settings["kbdinteractiveauthentication"] == "no"
    assert settings["permitemptypasswords"] == "no"
    assert settings["permitrootlogin"] == "no"
    assert settings["x11forwarding"] == "no"
    assert settings["pubkeyauthentication"] == "yes"


def test_names_of_the_system_are_no_login_names(host: Host, facts: Facts) -> None:
    """Every account and group of the image but the first user's own is refused for one.

    The builder's rule has a list; what a package adds has to stand in it.
    """
    if facts.base != "debian":
        pytest.skip(STOCK)
    names = set(host.check_output("cut -d: -f1 /etc/passwd /etc/group").split()) - {facts.user}
    shaped = {name for name in names if re.fullmatch(r"[a-z][-a-z0-9_]{0,31}", name)}

    assert sorted(name for name in shaped if _taken(name)) == []


def _taken(name: str) -> bool:
    """Tell whether the builder takes a name for the first user's."""
    try:
        return rules.user_name(name) == name
    except WrongValueError:
        return False


def test_services_are_enabled(host: Host, facts: Facts) -> None:
    """The network, its name and the clock come up by themselves."""
    if facts.base != "debian" and not facts.car:
        pytest.skip(STOCK)
    wanted = ["NetworkManager", "avahi-daemon", "ssh", "chrony"]
    told = host.run(f"systemctl is-enabled {' '.join(f'{each}.service' for each in wanted)}")

    assert dict.fromkeys(wanted, "enabled") == dict(
        zip(wanted, told.stdout.split(), strict=True)
    ), told.stderr


def test_apt_sources(host: Host, facts: Facts) -> None:
    """The board gets its updates from the suite's mirrors, signed, and from nowhere else."""
    told = host.check_output(
        "cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list"
        " /etc/apt/sources.list.d/*.sources 2>/dev/null; true"
    )
    text = " ".join(line for line in told.splitlines() if not line.startswith("#")).lower()

    assert facts.suite in text
    assert f"{facts.suite}-security" in text
    for bad in ("file:", "copy:", "trusted=yes", "trusted: yes", "allow-insecure", "localhost"):
        assert bad not in text
