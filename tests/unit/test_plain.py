"""Nothing that an image holds tells the terminal what to do."""

from __future__ import annotations

import pytest

from glovebox.errors import ImageError, plain
from glovebox.host.monitor import Monitor
from glovebox.images import show

ORDERS = "\x1b]0;mine\x07\x1b[2J\x9b31m\r\u202eevil"


def is_plain(text: str) -> bool:
    """Tell whether a text has no control character but newlines and tabs, and turns nothing."""
    return all(one in "\n\t" or (one.isprintable() and one != "\u202e") for one in text)


def test_an_error_is_plain() -> None:
    """Message and cure name what is in an image, with its orders to the terminal written out."""
    error = ImageError(f"a{ORDERS}", hint=f"b{ORDERS}")

    assert is_plain(str(error))
    assert str(error).startswith("a\\x1b]0;mine\\x07")


def test_what_is_said_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """So is what a run says by the way, such as a warning with a name in it."""
    Monitor().warn(f"name {ORDERS}")

    said = capsys.readouterr()
    assert is_plain(said.out + said.err)
    assert "mine" in said.out + said.err


def test_a_difference_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """Names and values of files, users and packages are printed as text, each on its line."""
    show.diff(
        {
            "packages": {"added": {f"p{ORDERS}": f"v{ORDERS}"}},
            "config.txt": [f"+ a{ORDERS}\n- forged"],
            "files": [{"path": f"/{ORDERS}", "what": "added", "how": ["file"], "package": None}],
        },
        everything=True,
    )

    said = capsys.readouterr().out
    assert is_plain(said)
    assert "- forged" not in [line.strip() for line in said.splitlines()]


@pytest.mark.parametrize("text", ["ä ✓ …", "a\tb\nc", "日本"])
def test_what_is_no_order_stays(text: str) -> None:
    """Text of any language is shown as it is."""
    assert plain(text) == text
