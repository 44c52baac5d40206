"""All that is wrong before a build begins, at once: image.yaml, its stages' files, this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003  a dataclass field's hint
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.boards.boards import BOARDS, Board
from glovebox.checkout import CHECKOUT
from glovebox.config.access import AccessKeys
from glovebox.errors import HostError, Mistakes
from glovebox.host import files
from glovebox.host.arch import require_emulation
from glovebox.plan import plan
from glovebox.project.load import Loaded, examine, mistakes
from glovebox.stage import check, host_tools, modes, pi_gen, stage, template

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.config.build import BuildConfig


@dataclass(frozen=True, kw_only=True)
class Sound:
    """What was read and holds no mistake."""

    loaded: Loaded
    board: Board
    stages: tuple[stage.Stage, ...]
    given: Mapping[str, str]
    exports: tuple[pi_gen.Export, ...]


def require(
    config: Path, *, overrides: Sequence[str] = (), builds: bool = False, checkout: Path = CHECKOUT
) -> Sound:
    """Read all of a configuration that can be read without a network, or raise all that is wrong.

    Where it ``builds``, what this machine lacks for that is wrong, too.
    """
    found = Mistakes()
    loaded = examine(config, overrides=overrides, checkout=checkout)
    wrong = {problem.path.partition("[")[0].partition(".")[0] for problem in loaded.problems}
    if loaded.problems:
        found.add(mistakes(loaded.problems))
    settings = loaded.config
    board = BOARDS[settings.board]
    stages = plan.examine_stages(
        settings, checkout, found, all_known=not wrong & {"", "stages", "pi_gen_config"}
    )
    given = pi_gen.variables(settings, board)
    check.examine(stages, given, found, checkout=checkout)
    exports: tuple[pi_gen.Export, ...] = ()
    with found.gathered():
        exports = pi_gen.exports(stages, given)
    # What a template makes of a value that is wrong, nobody knows.
    _own_files(settings, board, stages, found, checkout=checkout, filled=not wrong)
    if not wrong & {"", "board"}:
        with found.gathered():
            require_emulation(board.arch)
    if builds:
        found.add(*_lacking(stages))
    found.require_none()
    return Sound(loaded=loaded, board=board, stages=stages, given=given, exports=exports)


def _own_files(
    settings: BuildConfig,
    board: Board,
    stages: Sequence[stage.Stage],
    found: Mistakes,
    *,
    checkout: Path,
    filled: bool,
) -> None:
    """Look at overlays and templates that are not the checkout's own: tests know those."""
    for name in settings.overlays:
        folder = plan.own_folder("overlays", name, checkout)
        for look in (files.require_plain, modes.read):
            with found.gathered():
                look(folder)
    folders = [plan.own_folder("templates", name, checkout) for name in settings.templates]
    for folder in folders:
        with found.gathered():
            modes.read(folder, rendered=True)
    foreign = [sub for sub in stage.all_of(stages) if sub.foreign]
    folders += [action.path for sub in foreign for action in sub.of(stage.Kind.TEMPLATES)]
    nobody = AccessKeys(public=(), private=None, origin="")
    for folder in folders:
        before = len(found.found)
        with found.gathered():
            files.require_plain(folder)
        if len(found.found) == before:
            context = plan.context(settings, board, nobody) if filled else None
            template.examine(folder, context, found)


def _lacking(stages: Sequence[stage.Stage]) -> list[HostError]:
    """Give what this machine lacks to build them."""
    from glovebox import doctor  # noqa: PLC0415  a plan needs none of it

    said = [*doctor.lacking(), *host_tools.missing(list(stage.all_of(stages)))]
    return [HostError(one) for one in said]
