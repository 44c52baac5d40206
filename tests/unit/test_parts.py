"""A run of many parts: what is tried, in spite of what, and what the end tells."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glovebox.errors import ConfigError, HostError, VerifyError
from glovebox.host.monitor import Monitor
from glovebox.host.run import run
from glovebox.trials import suite
from glovebox.trials.parts import Part, choose, try_all
from glovebox.verify.verify import LONG


def _again(name: str) -> str:
    return f"./invoke test --only {name}"


def _fails(error: Exception) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


def _nothing() -> None:
    pass


def test_a_failure_keeps_nothing_from_being_tried(capsys: pytest.CaptureFixture[str]) -> None:
    """All that can be tried is, and the end names each failure, why, and how to see it again."""
    seen: list[str] = []
    parts = [
        Part(name="lint", run=_fails(VerifyError("ruff check:\nE501 Line too long"))),
        Part(name="one", run=_fails(HostError("no space", hint="make some"))),
        Part(name="on-one", run=lambda: seen.append("on-one"), needs=("one",)),
        Part(name="on-that", run=lambda: seen.append("on-that"), needs=("on-one",)),
        Part(name="other", run=lambda: seen.append("other")),
        Part(name="on-other", run=lambda: seen.append("on-other"), needs=("other",)),
        Part(name="odd", run=_fails(ZeroDivisionError("division by zero"))),
        Part(name="last", run=lambda: seen.append("last")),
    ]

    with pytest.raises(VerifyError) as caught:
        try_all(Monitor(), parts, again=_again)

    assert seen == ["other", "on-other", "last"]
    assert str(caught.value).splitlines() == [
        "5 of 8 parts did not pass:",
        "lint: failed",
        "  ruff check:",
        "  E501 Line too long",
        "  again: ./invoke test --only lint",
        "one: failed",
        "  no space",
        "    hint: make some",
        "  again: ./invoke test --only one",
        "on-one: not tried",
        "  needs one",
        "  again: ./invoke test --only on-one",
        "on-that: not tried",
        "  needs on-one",
        "  again: ./invoke test --only on-that",
        "odd: failed",
        "  ZeroDivisionError: division by zero (its traceback is in the log)",
        "  again: ./invoke test --only odd",
    ]
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == [*(part.name for part in parts), "all"]
    assert told[2].split() == ["on-one", "0.0", "s", "not", "tried"]
    assert told[-1].endswith("3 passed, 3 failed, 2 not tried")


def test_a_traceback_goes_to_the_log(tmp_path: Path) -> None:
    """A fault of ours is found there; the message shows none."""
    monitor = Monitor(log_file=tmp_path / "log", quiet=True)

    with pytest.raises(VerifyError) as caught:
        try_all(monitor, [Part(name="odd", run=_fails(KeyError("x")))], again=_again)
    monitor.close()

    assert "Traceback" not in str(caught.value)
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_run_is_stopped_at_once() -> None:
    """Ctrl-C is no failure of the part that it meets: nothing more is tried."""

    def stop() -> None:
        raise KeyboardInterrupt

    parts = [Part(name="one", run=stop), Part(name="two", run=_fails(AssertionError()))]

    with pytest.raises(KeyboardInterrupt):
        try_all(Monitor(quiet=True), parts, again=_again)


def test_all_passed(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line tells the sum, and nothing is raised."""
    try_all(Monitor(), [Part(name="one", run=_nothing)], again=_again)

    assert capsys.readouterr().out.splitlines()[-1].split() == ["all", "0.0", "s", "1", "passed"]


PARTS = [
    Part(name="a", run=_nothing),
    Part(name="b", run=_nothing, needs=("a",)),
    Part(name="c", run=_nothing, needs=("b",), long=True),
    Part(name="d", run=_nothing),
]


@pytest.mark.parametrize(
    ("only", "long", "names"),
    [
        ((), False, "abd"),
        ((), True, "abcd"),
        (("d",), True, "d"),
        (("c",), False, "abc"),  # named, a long one is asked for
        (("d", "b"), False, "abd"),
    ],
)
def test_parts_are_chosen(only: tuple[str, ...], names: str, *, long: bool) -> None:
    """Named parts run with all they need, in their order; long ones only when asked for."""
    assert [part.name for part in choose(PARTS, only=only, long=long)] == list(names)


def test_an_unknown_part_is_named() -> None:
    """What is misspelt does not run as nothing."""
    with pytest.raises(ConfigError, match=r"no part 'e'(.|\n)*one of a, b, c, d"):
        choose(PARTS, only=["e", "a"])


def test_the_suites_parts_can_run_in_their_order(tmp_path: Path) -> None:
    """Each name is given once, and what a part needs stands before it and is not longer."""
    parts = [
        *suite._quick(Monitor(quiet=True), tmp_path),
        *suite._boards(Monitor(quiet=True), tmp_path, tmp_path),
    ]
    before: dict[str, Part] = {}

    for part in parts:
        assert part.name not in before
        assert set(part.needs) <= set(before), part.name
        assert part.long or not any(before[name].long for name in part.needs)
        before[part.name] = part


@pytest.mark.parametrize(("long", "outcome"), [("", "1 skipped"), ("1", "1 passed")])
def test_a_long_test_runs_when_asked_for(tmp_path: Path, long: str, outcome: str) -> None:
    """The marker alone registers it: `--long` sets what tests/conftest.py looks for."""
    checkout = Path(__file__).resolve().parent.parent.parent
    test = tmp_path / "test_it.py"
    test.write_text("import pytest\n@pytest.mark.long\ndef test_it():\n    pass\n")
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest",
        "--rootdir", str(checkout), "--config-file", str(checkout / "pyproject.toml"), str(test),
    ]  # fmt: skip

    done = run(command, cwd=checkout, env={LONG: long})

    assert outcome in done.stdout
