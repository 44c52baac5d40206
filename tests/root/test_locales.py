"""The list of locales is that of the suite: a new state of its C library is noticed here."""

from __future__ import annotations

import re

import pytest

from glovebox.card import system
from glovebox.config import locales
from tests.root.tools import suite_tools

pytestmark = pytest.mark.root


def test_the_list_is_the_suite_s() -> None:
    """What `localedef` of the suite is said to support in UTF-8 is what is taken, and no more."""
    tree = suite_tools().tree
    suite = system.os_release(tree)["VERSION_CODENAME"]
    supported = (tree / "usr/share/i18n/SUPPORTED").read_text()
    found = re.findall(
        r"^([a-z]{2,3}_[A-Z]{2})(?:\.UTF-8)?(@[a-z]+)? UTF-8$", supported, re.MULTILINE
    )

    assert locales.known(suite) == {place + variant for place, variant in found}
