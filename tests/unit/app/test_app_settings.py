"""Settings: what an owner may write, and what is said about mistakes."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from telematics.settings import Settings, SettingsError, check, load


def test_every_field_explains_itself() -> None:
    """Each field has a help text, so that image.yaml can be documented from it."""
    unexplained = [each.name for each in fields(Settings) if not each.metadata.get("help")]

    assert unexplained == []


def test_defaults_pass_their_own_limits() -> None:
    """What is the default may also be written."""
    defaults = Settings()

    assert check(vars(defaults)) == defaults


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    """Each wrong field is named with its place and its cure, in one message."""
    file = tmp_path / "telematics.json"
    file.write_text(
        json.dumps(
            {"batch_ms": 5000, "gpsd_port": "x", "devise": "a", "device": "ä", "stale_s": True}
        )
    )

    with pytest.raises(SettingsError) as caught:
        load(file)

    lines = sorted(str(caught.value).splitlines())
    assert lines == [
        f"{file}: batch_ms: 5000 is out of range; hint: 50 to 1000 ms",
        f'{file}: device: "\\u00e4" does not match [A-Za-z0-9._-]{{0,12}}',
        f"{file}: devise: unknown field; hint: perhaps you meant device",
        f'{file}: gpsd_port: "x" is not a whole number',
        f"{file}: stale_s: true is not a whole number",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "not JSON"), ("[]", "not an object"), (None, "no such file"), ("[" * 9999, "not JSON")],
)
def test_unreadable_file_is_refused_in_words(
    tmp_path: Path, content: str | None, said: str
) -> None:
    """A missing or broken file is told by its name, not by a traceback."""
    file = tmp_path / "telematics.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(SettingsError, match=said):
        load(file)
