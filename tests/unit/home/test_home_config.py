"""home.yaml: every mistake at once, and nothing opened to a network by mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from home.config import Address, Config, read
from home.errors import ConfigError
from home.from_http import vehicles_of

if TYPE_CHECKING:
    from pathlib import Path


def reading(tmp_path: Path, text: str) -> Config:
    """Read a home.yaml."""
    path = tmp_path / "home.yaml"
    path.write_text(text)
    return read(path)


def test_defaults_are_one_machine_alone(tmp_path: Path) -> None:
    """Without a file, or with an empty one, nothing but this machine is listened to."""
    assert read(None) == Config()
    assert reading(tmp_path, "").listen == Address(host="127.0.0.1", port=8021)
    assert Config().listen.loopback


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Where it is started does not matter."""
    config = reading(
        tmp_path, "folder: data\nkafka: {servers: 'b:9', secrets: s}\nvehicles: {t: {key_file: k}}"
    )

    assert config.folder == tmp_path / "data"
    assert config.kafka is not None
    assert config.kafka.secrets == tmp_path / "s"
    assert config.vehicles == {"t": tmp_path / "k"}


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """Each line names the place and the cure."""
    with pytest.raises(ConfigError) as told:
        reading(
            tmp_path,
            "foldr: x\ntime_zone: Mars/Base\nlisten: 80\nvehicles: {'a b': {key_file: k}}\n"
            "kafka: {servers: here, security: none, topics: x}\nkeep_days: -1\nbehind_proxy: 7\n",
        )

    lines = str(told.value).splitlines()
    for name in (
        "foldr: unknown; hint: perhaps you meant folder", "time_zone", "listen", "vehicles.a b",
        "kafka.servers", "kafka.security", "kafka.topics", "keep_days", "behind_proxy",
    ):  # fmt: skip
        assert any(name in line for line in lines), name
    assert all("home.yaml" in line and "hint" in line for line in lines)


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ("", False),
        ("password_file: p", False),
        ("behind_proxy: true", False),
        ("password_file: p\nbehind_proxy: true", True),
        ("password_file: p\ntls: {certificate: c, key: k}", True),
    ],
)
@pytest.mark.parametrize("address", ["0.0.0.0:8021", "[::]:8021", "home.lan:8021", ":8021"])
def test_open_address_wants_a_password_and_tls(
    tmp_path: Path, more: str, address: str, *, good: bool
) -> None:
    """`listen:` to a network is refused until both are there."""
    text = f"listen: '{address}'\n{more}\n"
    if good:
        assert not reading(tmp_path, text).listen.loopback
    else:
        with pytest.raises(ConfigError, match="listen"):
            reading(tmp_path, text)


@pytest.mark.parametrize("text", ["- a\n", "a: [", "\tx", "null: 3", "7"])
def test_what_is_no_mapping_is_one_clear_error(tmp_path: Path, text: str) -> None:
    """No traceback for a file that is none."""
    with pytest.raises(ConfigError, match=r"home\.yaml"):
        reading(tmp_path, text)
    with pytest.raises(ConfigError, match="no such file"):
        read(tmp_path / "other.yaml")


def test_key_that_is_none_is_refused(tmp_path: Path) -> None:
    """An empty or short key would let strangers in; nor do two vehicles share one."""
    for name, text in (("empty", "\n"), ("short", "abc\n"), ("a", "k" * 32), ("b", "k" * 32)):
        (tmp_path / name).write_text(text)

    with pytest.raises(ConfigError) as told:
        vehicles_of({name: tmp_path / name for name in ("empty", "short", "a", "b", "none")})

    assert len(str(told.value).splitlines()) == 4
    assert [each.device for each in vehicles_of({"a": tmp_path / "a"})] == ["a"]
