"""The rooms of the house: which may use which, and that nobody waits for what only others need."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from glovebox.boards.boards import BOARDS, Board, Processor
from glovebox.boards.check import check_board, check_power
from glovebox.boards.draw import Draw, official
from glovebox.boards.firmware import MODELS
from glovebox.boards.power import report
from glovebox.card.table import start_of
from glovebox.checkout import CHECKOUT
from glovebox.config.build import BuildConfig
from glovebox.config.power import Power
from glovebox.host import files
from glovebox.host.arch import ARCHES
from glovebox.host.run import PATH, run
from glovebox.plan import plan
from glovebox.stage import pi_gen, sources, stage
from glovebox.trials import suite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glovebox.config.schema import BoardName

# What a plan has no use for: it starts nothing and shows a table.
RUNS_STEPS = {"trials", "build", "images", "emulator", "verify"}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("glovebox/host/clock.py", "from glovebox.trials import parts", "each floor"),
        ("glovebox/verify/jars.py", "from glovebox.images import diff", "no room its neighbour"),
        ("app/telematics/files.py", "from glovebox.host import files", "nothing of the builder"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, module: str, line: str, broken: str) -> None:
    """An import that goes up a floor, next door or out of the vehicle makes `lint` fail."""
    for name in ("glovebox", "app", "home"):
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=_no_bytecode)
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")
    env = {
        "PYTHONPATH": f"{tmp_path}:{tmp_path / 'app'}",
        "PATH": f"{Path(sys.executable).parent}:{PATH}",
    }

    said = run(["lint-imports", "--no-cache"], cwd=tmp_path, env=env, check=False)

    assert said.returncode == 1
    verdicts = [text for text in said.stdout.splitlines() if text.endswith("BROKEN")]
    assert any(broken in text for text in verdicts)


def _no_bytecode(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__"]


def imported_by(*words: str) -> set[str]:
    """Give the modules that a command of ./invoke imports."""
    command = [sys.executable, "-X", "importtime", "-m", "invoke", *words]
    said = run(command, cwd=CHECKOUT, check=False).stderr
    return {match[1] for match in re.finditer(r"\|\s*(\S+)$", said, re.MULTILINE)}


def test_the_list_of_verbs_imports_no_room() -> None:
    """`./invoke --list` needs the verbs and their words, and nothing of what they do."""
    found = imported_by("--list")

    ours = {name for name in found if name.startswith(("glovebox", "telematics"))}
    assert ours <= {"glovebox", "glovebox.errors"}
    # (Invoke itself brings a reader of YAML.)
    assert not {"jinja2", "rich", "pytest"} & found


@pytest.mark.thorough
@pytest.mark.parametrize("page", ["README.md", "docs/card.md"])
def test_a_page_names_verbs_there_are(page: str) -> None:
    """Whatever a page says to type is a verb, with options that it has."""
    text = (CHECKOUT / page).read_text()
    options: dict[str, set[str]] = {}
    for verb, words in re.findall(r"\./invoke ([a-z][a-z-]*)([^`\n|;#]*)", text):
        options.setdefault(verb, set()).update(re.findall(r"--[a-z][a-z-]*", words))
    listed = run([sys.executable, "-m", "invoke", "--list"], cwd=CHECKOUT).stdout

    assert options
    for verb, named in options.items():
        assert re.search(rf"^  {verb} ", listed, re.MULTILINE), verb
        if named and verb != "setup":  # its options are followed by another verb's
            told = run([sys.executable, "-m", "invoke", "--help", verb], cwd=CHECKOUT).stdout
            assert {option for option in named if option not in told} == set(), verb


def test_a_plan_imports_nothing_that_runs_steps(tmp_path: Path) -> None:
    """`./invoke plan` starts nothing, so what builds, boots, verifies or measures stays out."""
    found = imported_by("plan", "--config", str(tmp_path / "none.yaml"))

    rooms = {name.split(".")[1] for name in found if name.startswith("glovebox.")}
    assert "plan" in rooms
    assert not RUNS_STEPS & rooms


# Each part of what is compiled for the board, and the sub-stages that it belongs to.
PARTS = {
    "app/telematics/publish.py": {"telematics/00-service"},
    "app/telematics.launcher": {"telematics/00-service"},
    "app/telematics/settings.py": {"telematics/00-service", "first-boot/01-take-over"},
    "glovebox/onboard/firstboot/wipe.py": {"first-boot/01-take-over"},
    "glovebox/onboard/grow.py": {"car/00-disk", "disk/00-disk"},
    "glovebox/config/rules.py": {"first-boot/01-take-over"},
    "glovebox/config/access.py": set(),
    "glovebox/host/run.py": set(),
}


def compiled() -> Iterator[tuple[str, list[str]]]:
    """Give each sub-stage that compiles something of this checkout, and what."""
    variables = {"QUEUE_SERVER": "redis"}
    for folder in sorted((CHECKOUT / "stages").iterdir()):
        for sub in stage.read(folder).sub_stages:
            found = [
                source.what
                for action in sub.of(stage.Kind.SOURCES)
                for source in sources.of(action, variables)
                if source.origin is sources.Origin.PATH
            ]
            if found:
                yield sub.name, found


@pytest.mark.parametrize("part", PARTS)
def test_a_comment_runs_no_other_part_s_step(tmp_path: Path, part: str) -> None:
    """Each stage names only what it ships: a change elsewhere leaves its key as it is."""
    before = {
        name: [files.digest_tree(CHECKOUT / what) for what in found] for name, found in compiled()
    }
    for _, found in compiled():
        for what in found:
            place = tmp_path / what
            place.parent.mkdir(parents=True, exist_ok=True)
            if (CHECKOUT / what).is_dir():
                shutil.copytree(CHECKOUT / what, place, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy(CHECKOUT / what, place)
    (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
    with (tmp_path / part).open("a") as file:
        file.write("# a comment\n")

    after = {
        name: [files.digest_tree(tmp_path / what) for what in found] for name, found in compiled()
    }

    assert {name for name in before if before[name] != after[name]} == PARTS[part]


def test_every_shell_script_is_checked() -> None:
    """Lint finds scripts by their first line: of overlays, of stages, the starter and CI's."""
    found = suite.scripts(CHECKOUT)

    assert {"invoke", ".ci/run", "glovebox/build/stage_site.sh"} <= set(found)
    assert "overlays/disk/usr/lib/glovebox/lay-over" in found
    assert "stages/disk/00-disk/02-run-chroot.sh" in found
    assert not [name for name in found if (CHECKOUT / name).is_symlink()]
    assert not [name for name in found if name.startswith("tests/imager/")]


def imaginary() -> Board:
    """Give the board that docs/new-board.md adds."""
    return Board(
        name=cast("BoardName", "6"),
        title="Raspberry Pi 6",
        arch="arm64",
        kernel="linux-image-arm64",
        dtb="bcm2713-rpi-6-b.dtb",
        model=MODELS["5"],
        imager_tags=("pi6-64bit",),
        processor=Processor(cores=8, slowest=1500, fastest=3000),
        draw=Draw(driving=official(700), parked=official(500), halted=official(20)),
        no_qemu="QEMU has no Raspberry Pi 6",
        gpio_wakes=False,
    )


def test_a_new_board_is_one_entry() -> None:
    """What asks for a board takes all it needs from its entry: there is no second table."""
    board = imaginary()
    config = BuildConfig(power=Power(cores=8, clock=3000))

    given = pi_gen.variables(config, board)
    asked = plan.chains(board, (), given)

    assert given["BOARD"] == "6"
    assert given["BOARD_DTB"] == "bcm2713-rpi-6-b.dtb"
    assert {chain.arch for chain in asked if chain.name == plan.TARGET} == {"arm64"}
    assert check_board(config, board) == []
    assert check_power(config, board) == []
    assert start_of("[pi5]\nkernel=six.img\n", board).kernel == "six.img"
    assert "Board 6, " in report(board, config.power, battery_wh=600, efficiency=0.5, extra_ma=0)


def test_processors_are_described() -> None:
    """Every processor that a board has can be emulated and compiled for."""
    for board in (*BOARDS.values(), imaginary()):
        arch = ARCHES[board.arch]
        assert arch.handler
        assert arch.qemu_system
        assert arch.cross_packages
