"""The home's card: all that it needs is there, and it is closed until it has a password."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from testinfra.host import Host

pytestmark = pytest.mark.stage("home")

FOLDER = "/var/lib/home"
PASSWORD = "correct horse battery"  # noqa: S105  of a board that ends with the tests
IMPORTS = """
import pkgutil, importlib, home, duckdb, yaml, confluent_kafka
for one in pkgutil.walk_packages(home.__path__, "home."):
    if not one.name.endswith("__main__") and not one.name.startswith("home.simulate"):
        importlib.import_module(one.name)
print(duckdb.sql("SELECT sum(i) FROM range(10) t(i)").fetchall()[0][0], home.__version__)
"""


@pytest.mark.level("chroot")
@pytest.mark.unchanging
def test_all_it_imports_is_there(own: Host) -> None:
    """Every module of it loads on the board's own Python, and DuckDB computes there."""
    told = own.run(f"python3 -I -c '{IMPORTS}'")

    assert told.succeeded, told.stderr
    assert re.fullmatch(r"45 \d+\.\d+\.\d+", told.stdout.strip())


@pytest.mark.level("chroot", highest="chroot")
def test_the_map_needs_no_other_machine(tree: Path) -> None:
    """Its page was made with the image: nobody at home has npm."""
    (page,) = tree.glob("usr/lib/python3/dist-packages/home/map/built.html")

    assert "leaflet" in page.read_text()
    assert page.stat().st_size > 200_000


@pytest.mark.level("chroot")
def test_it_outlives_the_power(host: Host) -> None:
    """Landing, settings and keys lie on the data partition."""
    listed = host.check_output("cat /usr/lib/glovebox/kept-folders.d/home").splitlines()

    assert [FOLDER, "home"] in [line.split() for line in listed]


@pytest.mark.level("chroot", highest="chroot")
def test_it_is_closed_until_it_has_a_password(host: Host) -> None:
    """The card holds none, and the unit waits for one; who logs in is asked."""
    unit = host.check_output("cat /etc/systemd/system/home.service")

    assert f"ConditionPathExists={FOLDER}/secrets/password" in unit.splitlines()
    assert host.run("systemctl is-enabled home.service").stdout.strip() == "enabled"
    assert host.check_output(f"ls -A {FOLDER}/secrets {FOLDER}/keys {FOLDER}/data").split() == [
        f"{FOLDER}/data:", f"{FOLDER}/keys:", f"{FOLDER}/secrets:"
    ]  # fmt: skip
    assert "home-password" in host.check_output("cat /etc/profile.d/home-password.sh")


@pytest.mark.level("chroot", highest="chroot")
def test_a_password_opens_it(own: Host) -> None:
    """One that is long enough is kept for the home alone, with a certificate of its own."""
    short = own.run("echo short | home-password")
    assert short.failed
    assert "10 characters" in short.stderr

    told = own.run(f"echo '{PASSWORD}' | home-password")

    assert told.succeeded, told.stderr
    modes = own.check_output(
        f"cd {FOLDER}/secrets && stat -c '%a %U %n' home.key home.pem password"
    )
    assert modes.splitlines() == ["600 home home.key", "644 home home.pem", "600 home password"]
    names = own.check_output(
        f"openssl x509 -in {FOLDER}/secrets/home.pem -noout -ext subjectAltName"
    )
    assert re.search(r"DNS:[\w-]+\.local, .*IP Address:127\.0\.0\.1", names)
    # The very command that a person types, as that user: it reads home.yaml and finds no mistake.
    assert own.run("home status").succeeded or "no home" in own.run("home status").stderr
    assert own.run("cd / && home key truck-7").succeeded
    assert own.check_output(f"stat -c '%a %U' {FOLDER}/keys/truck-7") == "600 home"
    own.check_output(f"rm {FOLDER}/keys/truck-7 {FOLDER}/secrets/*")


@pytest.mark.level("emulated")
def test_nobody_is_let_in_before(host: Host) -> None:
    """A board whose owner never logged in listens for ssh, and for nothing of the home."""
    if host.run(f"test -e {FOLDER}/secrets/password").succeeded:
        pytest.skip("this home's owner has chosen a password")
    listening = host.check_output("ss --no-header --listening --tcp --numeric").splitlines()

    assert not [line for line in listening if ":8021" in line]
    assert host.run("systemctl is-active home.service").stdout.strip() == "inactive"
