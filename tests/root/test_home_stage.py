"""The stage `home` on the native root that a build left: whole, closed, and then it serves."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from glovebox.host import chroot, mounts
from glovebox.host.run import run
from tests.home.made import record
from tests.root.test_conformance import RULES, build, kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glovebox.store.store import Store

__all__ = ["kept"]
pytestmark = [pytest.mark.root, pytest.mark.needs("unshare", "setpriv", "mmdebstrap", "npm")]

PASSWORD = "correct horse battery"  # noqa: S105  of a root that ends with the tests
START_MS = 1_790_000_000_000
# A home that runs in the image, and whoever asks it there: the cage has a loopback of its own.
SERVES = """
ip link set lo up
cd /var/lib/home
/usr/lib/glovebox/home-fits
as_home="setpriv --reuid=home --regid=home --init-groups"
$as_home python3 -I -m home serve >/tmp/home.txt 2>&1 & home=$!
trap 'kill $home; wait $home || :; cat /tmp/home.txt >&2' EXIT
for try in $(seq 60); do grep -q ready: /tmp/home.txt && break; sleep 1; done
python3 -I - <<'END'
import base64, json, ssl, time, urllib.error, urllib.request

context = ssl.create_default_context(cafile="/var/lib/home/secrets/home.pem")
word = base64.b64encode(b"me:PASSWORD").decode()

def ask(path, body=None, **headers):
    request = urllib.request.Request("https://localhost:8021" + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

owner = {"Authorization": "Basic " + word}
key = open("/var/lib/home/keys/truck-7").read().strip()
body = open("/tmp/records.json", "rb").read()
print(json.dumps([
    ask("/")[0], "leaflet" in ask("/", **owner)[1],
    ask("/", body, **{"X-API-Key": "wrong"})[0], ask("/", body, **{"X-API-Key": key})[0],
    json.loads(ask("/api/status", **owner)[1])["lines"],
]))
END
""".replace("PASSWORD", PASSWORD)


@pytest.fixture(scope="module")
def root(kept: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a root with the stages `python` and `home`, which may be written to."""
    rule = tmp_path_factory.mktemp("home") / "rule"
    (rule / "stages").mkdir(parents=True)
    for name in ("python", "home"):
        (rule / "stages" / name).symlink_to(RULES.parent.parent / "stages" / name)
    system = rule / "stages/system/00-system"  # what the stage `base` has and a native root lacks
    system.mkdir(parents=True)
    (system / "00-packages-nr").write_text("systemd iproute2\n")
    (rule / "list").write_text("system\npython\nhome\n")
    with ExitStack() as stack:
        made = build(rule, kept, stack)
        shown = stack.enter_context(made.builder().merged(made.last(), writable=True))
        yield stack.enter_context(mounts.chroot_mounts(shown))


def inside(root: Path, script: str) -> str:
    """Run a script in the root, as root."""
    command = chroot.command(root, ["/bin/sh", "-e"], may=("net_admin",))
    return run(command, input=script).stdout


def test_it_is_whole_and_closed(root: Path) -> None:
    """Its libraries load, its page is there, and no secret came with the image."""
    assert inside(root, "python3 -I -c 'import duckdb, yaml, home.server, confluent_kafka'") == ""
    assert (root / "usr/lib/python3/dist-packages/home/map/built.html").stat().st_size > 200_000
    assert list((root / "var/lib/home/secrets").iterdir()) == []


@pytest.mark.parametrize(("password", "said"), [("short", "10 characters"), ("", "10 characters")])
def test_a_password_that_is_none(root: Path, password: str, said: str) -> None:
    """It is refused, and the home stays closed."""
    command = chroot.command(root, ["home-password"])

    told = run(command, input=f"{password}\n", check=False)

    assert told.returncode == 1
    assert said in told.stderr
    assert list((root / "var/lib/home/secrets").iterdir()) == []


def test_a_password_opens_it_and_a_key_lets_a_vehicle_in(root: Path) -> None:
    """The owner's commands, as docs/home.md has them: then map, status and posting answer."""
    inside(root, f"echo '{PASSWORD}' | home-password")
    inside(root, "home key truck-7")
    modes = inside(root, "cd /var/lib/home && stat -c '%a %U %n' secrets/* keys/*")
    with (root / "var/lib/home/home.yaml").open("a") as file:
        file.write("vehicles:\n  truck-7: { key_file: keys/truck-7 }\n")
    sent = [
        record("truck-7", seq, at_ms=START_MS + seq * 1000, mono=seq * 1000) for seq in range(1, 21)
    ]
    (root / "tmp/records.json").write_bytes(b"[" + b",".join(sent) + b"]")

    told = json.loads(inside(root, SERVES).splitlines()[-1])

    assert modes.splitlines() == [
        "600 home secrets/home.key", "644 home secrets/home.pem", "600 home secrets/password",
        "600 home keys/truck-7",
    ]  # fmt: skip
    assert told == [401, True, 403, 200, 20]
    counted = inside(root, "home build && home sql --json 'SELECT count(*) AS n FROM points'")
    assert json.loads(counted.splitlines()[-1])["n"] == 20
