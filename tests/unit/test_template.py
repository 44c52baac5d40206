"""Templates: what they become, what they refuse, and that no secret slips through."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from glovebox.config import keyfile
from glovebox.config.schema import Config, Network, Secret, Wifi
from glovebox.errors import StepError
from glovebox.stage import template

if TYPE_CHECKING:
    from pathlib import Path

PSK = "correct horse battery"
CONFIG = Config(
    hostname="truck",
    wifi=Wifi(
        country="DE",
        networks=(Network(ssid="garage", psk=Secret(PSK)), Network(ssid="Hof", psk=None)),
    ),
)


@dataclass(frozen=True)
class Settings:
    """Something for the filter `json`."""

    b: int = 2
    a: str = "ü"


def render(folder: Path, name: str, text: str, **more: Any) -> tuple[template.Rendered, ...]:  # noqa: ANN401  whatever a template may find
    """Render one template."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return template.render(folder, {"config": CONFIG, **more})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host={{ config.hostname }}\n", "host=truck\n"),
        ("no newline at the end", "no newline at the end"),
        ("{% if true %}\nyes\n{% endif %}\nend\n", "yes\nend\n"),
        ("<{{ '&' }}>", "<&>"),
        ("{{ 'a b' | sh }}", "'a b'"),
        ("{{ settings | json }}", json.dumps({"a": "ü", "b": 2}, indent=2)),
        ("{{ config.wifi.networks[0].psk | secret }}", PSK),
        ("{{ 'no secret at all' | secret }}", "no secret at all"),
    ],
)
def test_render(tmp_path: Path, text: str, expected: str) -> None:
    """A template becomes its text: blocks leave no empty lines, nothing is escaped for HTML."""
    rendered = render(tmp_path, "etc/file", text, settings=Settings())

    assert rendered == (template.Rendered(name="etc/file", text=expected, program=False),)


def test_an_empty_text_gives_no_file(tmp_path: Path) -> None:
    """A template that renders to white space makes no file."""
    assert render(tmp_path, "etc/file", "{% if false %}\nsomething\n{% endif %}\n\n") == ()


def test_the_executable_bit_is_kept(tmp_path: Path) -> None:
    """A template that is a program becomes a program."""
    (tmp_path / "run").touch()
    (tmp_path / "run").chmod(0o700)

    assert render(tmp_path, "run", "x")[0].program


def test_one_file_for_each_entry(tmp_path: Path) -> None:
    """`@list@` in a name gives one file per entry, numbered from 1, the entry being `item`."""
    rendered = render(tmp_path, "etc/wifi-@wifi.networks@.conf", "{{ item.ssid }}")

    assert [(one.name, one.text) for one in rendered] == [
        ("etc/wifi-1.conf", "garage"),
        ("etc/wifi-2.conf", "Hof"),
    ]


def test_no_entries_no_files(tmp_path: Path) -> None:
    """An empty list gives no file at all."""
    assert render(tmp_path, "x-@overlays@", "{{ item }}") == ()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("etc/file", "{{ config.hostnam }}", "hostnam"),
        ("etc/file", "{{ unknown }}", "unknown"),
        ("etc/file", "one\n{% if %}", "etc/file:2"),
        ("etc/file", "{{ 1 | nothing }}", "nothing"),
        ("x-@wifi.nets@", "{{ item }}", "nets"),
        ("etc/file", "{{ config.hostname + 1 }}", "str"),
        ("etc/file", "{{ 1 | keyfile }}", "int"),
    ],
)
def test_a_mistake_names_its_file(tmp_path: Path, name: str, text: str, said: str) -> None:
    """Whatever is wrong with a template, the error is ours, names the file and says what."""
    with pytest.raises(StepError) as caught:
        render(tmp_path, name, text)

    assert str(tmp_path / name) in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "{{ config.wifi.networks[0].psk }}",
        "{{ config.wifi.networks[0].psk | keyfile }}",
        "{{ config.wifi.networks[0].psk | sh }}",
        "{{ config.wifi.networks[0] | json }}",
    ],
)
def test_a_secret_needs_its_filter(tmp_path: Path, text: str) -> None:
    """A secret that is printed without `|secret` is refused, and the refusal does not hold it."""
    with pytest.raises(StepError) as caught:
        render(tmp_path, "etc/file", text)

    assert PSK not in str(caught.value)


def test_rendered_text_is_not_shown(tmp_path: Path) -> None:
    """What a template became may hold a secret, so its repr, and a plan's, does not show it."""
    rendered = render(tmp_path, "etc/file", "{{ config.wifi.networks[0].psk | secret }}")

    assert rendered[0].text == PSK
    assert PSK not in repr(rendered)


def read_keyfile(line: str) -> str:
    """Read `key=value` as GLib does: outer white space off, then its escapes undone."""
    value = line.partition("=")[2].strip(" \t\n")
    escapes = {r"\s": " ", r"\t": "\t", r"\n": "\n", r"\r": "\r", r"\\": "\\"}
    return re.sub(r"\\.", lambda found: escapes[found[0]], value)


@given(st.text(st.characters(exclude_categories=["C"], exclude_characters="\n\r"), min_size=1))
def test_keyfile_round_trip(value: str) -> None:
    """What the filter writes, GLib reads back: spaces at the ends, backslashes, umlauts and ;."""
    assert read_keyfile(f"psk={keyfile.value(value)}\n") == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("garage", "garage"),
        (" ends ", r"\sends\s"),
        (" ", r"\s"),
        ("  two", r"\s two"),
        ("a\\sb", r"a\\sb"),
        ("Grüße;#=", "Grüße;#="),
        ("", ""),
    ],
)
def test_keyfile(value: str, written: str) -> None:
    """These are the cases where GLib reads something else than what stands there."""
    assert keyfile.value(value) == written


@pytest.mark.parametrize(
    ("name", "written"),
    [("Hof", "72;111;102;"), ("ü", "195;188;"), (" ;", "32;59;"), ("12;34", "49;50;59;51;52;")],
)
def test_keyfile_bytes(name: str, written: str) -> None:
    """A network's name is written byte by byte, so that no character means anything."""
    assert keyfile.as_bytes(name) == written
