"""Targets, manifests, and what is made of the tests' results."""

import json
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from glovebox.errors import ConfigError, VerifyError
from glovebox.host.run import CommandError
from glovebox.verify import verify as module
from glovebox.verify.verify import (
    Level,
    Target,
    parse_target,
    read_facts,
    read_junit,
    report_text,
    verify,
)

MANIFEST = {
    "board": "zero-w",
    "arch": "armel",
    "suite": "trixie",
    "hostname": "truck",
    "user": "pi",
    "timezone": "Etc/UTC",
    "locale": "C.UTF-8",
    "server": "redis",
    "disk_id": "0badcafe",
    "steps": {"tools": "1", "base/00-system": "2", "gnss/00-gpsd": "3", "base/01-kernel": "4"},
    "something": "else",
}
JUNIT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="tests.image.test_base" name="test_suite" time="0.5"/>
<testcase classname="tests.image.test_boot" name="test_runs" time="2.5">
  <failure message="assert 'degraded' == 'running'">long text</failure></testcase>
<testcase classname="tests.image.test_clean" name="test_a" time="0">
  <skipped message="means something up to target 'chroot'"/></testcase>
<testcase classname="tests.image.test_clean" name="test_b" time="0">
  <skipped message="means something up to target 'chroot'"/></testcase>
<testcase classname="tests.image.test_gnss" name="test_c" time="1">
  <error message="failed on setup">more</error></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("chroot:/a/b", Target(level=Level.CHROOT, path=Path("/a/b"))),
        ("emulated:/a/b:c.img", Target(level=Level.EMULATED, path=Path("/a/b:c.img"))),
        ("ssh:truck.local", Target(level=Level.BOARD, host="truck.local")),
        ("ssh:pi@truck:2222", Target(level=Level.BOARD, user="pi", host="truck", port=2222)),
        ("ssh:pi@[fe80::1%eth0]:22", Target(level=Level.BOARD, user="pi", host="fe80::1%eth0")),
    ],
)
def test_targets(text: str, target: Target) -> None:
    """Each kind is read, and written back so that it reads the same."""
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    "text", ["", "zero-w.img", "chroot:", "ssh:", "ssh:a:b", "ssh:a:0", "ssh:-oProxyCommand=x"]
)
def test_what_is_no_target(text: str) -> None:
    """The message shows what was given and what would do; no option of ssh slips through."""
    with pytest.raises(ConfigError, match="is no target"):
        parse_target(text)


def _manifest(folder: Path) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps(MANIFEST))
    return path


def test_facts(tmp_path: Path) -> None:
    """The manifest's other keys are left alone, and its steps tell the stages."""
    facts = read_facts(_manifest(tmp_path))

    assert (facts.hostname, facts.stages) == ("truck", ("base", "gnss"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"steps": {}}'])
def test_a_broken_manifest_is_named(tmp_path: Path, text: str) -> None:
    """What is no manifest is told by its path."""
    path = tmp_path / "m.json"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"m\.json is no manifest"):
        read_facts(path)


def test_junit_becomes_a_summary(tmp_path: Path) -> None:
    """Errors count as failures, and skipped tests are counted by their reason."""
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT)

    summary = read_junit(path)

    assert summary.passed == 1
    assert [each.test for each in summary.failed] == ["test_boot::test_runs", "test_gnss::test_c"]
    assert summary.skipped == {"means something up to target 'chroot'": 2}
    assert str(summary).startswith("1 passed, 2 failed, 2 skipped, 4 s")


def test_a_report_names_nobody(tmp_path: Path) -> None:
    """What an owner hands in says which image and board, and neither names nor addresses."""
    (tmp_path / "junit.xml").write_text(JUNIT)
    facts = read_facts(_manifest(tmp_path))
    target = parse_target("ssh:somebody@secret.example")

    told = report_text(read_junit(tmp_path / "junit.xml"), target, tmp_path, facts)

    assert json.loads(told)["image"]["board"] == "zero-w"
    assert len(json.loads(told)["results"]) == 5
    for word in ("somebody", "secret.example", "truck"):
        assert word not in told


def _pytest(monkeypatch: pytest.MonkeyPatch, folder: Path, junit: str | None, status: int) -> None:
    def stream(*_: object, **__: object) -> None:
        if junit is not None:
            (folder / "junit.xml").write_text(junit)
        if status:
            raise CommandError(["pytest"], status, "the tail")

    monkeypatch.setattr(module, "stream", stream)


def test_failing_tests_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error lists each with what it found, and the report is written all the same."""
    _pytest(monkeypatch, tmp_path, JUNIT, 1)
    image = tmp_path / "image"
    image.write_bytes(b"image")
    report = tmp_path / "report.json"

    with pytest.raises(VerifyError, match=r"2 of 5 tests failed(.|\n)*test_runs\n.*degraded"):
        verify(
            parse_target(f"emulated:{image}"), _manifest(tmp_path), folder=tmp_path, report=report
        )
    assert report.exists()


def test_what_a_failed_test_left_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message tells the folder of the test that kept one, and how fast the board was."""
    image = tmp_path / "image"
    image.write_bytes(b"image")
    old = module.kept(tmp_path, "test_old::test_gone")
    old.mkdir(parents=True)

    def stream(*_: object, **__: object) -> None:
        assert not old.exists(), "what an earlier run left is taken for this one's"
        (tmp_path / "junit.xml").write_text(JUNIT)
        (tmp_path / "about.json").write_text('{"speed": {"start": 0.431, "run": 0.98}}')
        module.kept(tmp_path, "test_boot::test_runs").mkdir(parents=True)
        raise CommandError(["pytest"], 1, "the tail")

    monkeypatch.setattr(module, "stream", stream)

    with pytest.raises(VerifyError) as caught:
        verify(parse_target(f"emulated:{image}"), _manifest(tmp_path), folder=tmp_path)

    told = str(caught.value)
    assert f"kept: {tmp_path}/failed/test_boot.test_runs\n" in told
    assert told.count("kept:") == 1
    assert "0.43 at its start, 0.98 over the run" in told


def test_a_changed_image_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verifying must not change a byte of what is exported."""
    image = tmp_path / "image"
    image.write_bytes(b"image")

    def stream(*_: object, **__: object) -> None:
        image.write_bytes(b"imagE")

    monkeypatch.setattr(module, "stream", stream)

    with pytest.raises(VerifyError, match="was changed"):
        verify(parse_target(f"emulated:{image}"), _manifest(tmp_path), folder=tmp_path)


@pytest.mark.parametrize(("junit", "status"), [(None, 0), ("<x", 0), ("<x/>", 0), (None, 4)])
def test_no_result_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, junit: str | None, status: int
) -> None:
    """Tests that did not run, or none at all, prove nothing; a result of before does not count."""
    (tmp_path / "junit.xml").write_text('<x><testcase classname="a" name="b"/></x>')
    _pytest(monkeypatch, tmp_path, junit, status)

    with pytest.raises(VerifyError):
        verify(parse_target("ssh:board"), _manifest(tmp_path), folder=tmp_path)


def test_what_ended_tests_leave_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that are ended cannot remove their board's card, and killed ones not their view."""
    image = tmp_path / "image"
    image.write_bytes(b"image")
    folder = tmp_path / "verify"
    (folder / ".view-killed/root").mkdir(parents=True)
    seen: list[bool] = []

    def stream(*_: object, **__: object) -> None:
        seen.append((folder / ".view-killed").exists())
        (folder / "card.img").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "stream", stream)

    with pytest.raises(KeyboardInterrupt):
        verify(parse_target(f"emulated:{image}"), _manifest(tmp_path), folder=folder)

    assert seen == [False]
    assert not (folder / "card.img").exists()


CASE = '<testsuites><testsuite><testcase classname="t" name="{}"/></testsuite></testsuites>'


def test_shares_are_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each share runs on a target of its own; together they are one result, with all failures."""
    places = [
        module.View(
            target=parse_target(f"chroot:{tmp_path / name}"), quick=tmp_path / "quick" / name
        )
        for name in ("one", "other")
    ]
    asked: list[str] = []
    claims: set[str] = set()

    def stream(command: list[str], **_: object) -> None:
        words = dict(pairwise(map(str, command)))
        assert Path(words["--claims"]).is_dir()
        claims.add(words["--claims"])
        asked.append(f"{words['--target']} {words['--quick-root']}")
        name = Path(words["--target"]).name
        Path(words["--junit-xml"]).write_text(CASE.format(name))
        raise CommandError(["pytest"], 1, "one failed")

    monkeypatch.setattr(module, "stream", stream)
    module._run_shares(places, tmp_path, [], lambda _: None)

    assert sorted(asked) == [
        f"chroot:{tmp_path}/{name} {tmp_path}/quick/{name}" for name in ("one", "other")
    ]
    assert len(claims) == 1, "what one takes the other does not see"
    assert [one.test for one in read_junit(tmp_path / "junit.xml").results] == [
        "t::one",
        "t::other",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["junit.xml"]


def test_a_share_that_cannot_run_ends_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the rest of tests that prove nothing any more."""
    ended = threading.Event()

    def stream(command: list[str], **_: object) -> None:
        if f"chroot:{tmp_path}/one" in command:
            raise CommandError(["pytest"], 4, "no such option")
        assert ended.wait(10), "it was never ended"

    monkeypatch.setattr(module, "stream", stream)
    monkeypatch.setattr(module, "end_streams", ended.set)
    views = [
        module.View(target=parse_target(f"chroot:{tmp_path}/{name}")) for name in ("one", "other")
    ]

    with pytest.raises(VerifyError, match="no such option"):
        module._run_shares(views, tmp_path, [], lambda _: None)
