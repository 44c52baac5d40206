"""How long, and from which seed: by themselves the fuzzers read the same inputs in each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FIXED = (1, 2)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `invoke test --fuzz MINUTES` sets."""
    group = parser.getgroup("fuzz")
    group.addoption("--fuzz-seconds", type=float, help="time for each reader, in place of a number")
    group.addoption("--fuzz-seed", type=int, help="the one seed to begin with")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test the seeds it reads inputs of."""
    if "seed" in metafunc.fixturenames:
        given = metafunc.config.getoption("--fuzz-seed")
        metafunc.parametrize("seed", FIXED if given is None else (given,))
