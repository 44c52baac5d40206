"""Apply `NN-patches/` with quilt, as pi-gen does: in STAGE_WORK_DIR, one `.pc` for a sub-stage.

quilt is the suite's own, out of a native root that is made only where a stage has patches.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from glovebox.errors import StepError
from glovebox.host import chroot, mounts, native
from glovebox.host.arch import host_arch
from glovebox.host.run import attach, stream

if TYPE_CHECKING:
    from pathlib import Path

    from glovebox.build.site import Site
    from glovebox.stage.stage import Action

_PLACE, _PATCHES = "run/glovebox", "run/glovebox-patches"
# Status 2: there was nothing to do.
_APPLY = """
cd "/$WORK"
mkdir -p "$PC"
ln -sfn "$PC" .pc
quilt upgrade
if [ -n "$EDIT" ]; then exit; fi
quilt push -a || [ $? = 2 ]
"""


def apply(action: Action, site: Site) -> None:
    """Apply a series of patches; raises CommandError with quilt's words.

    A file EDIT beside the series opens a shell first, where patches can be made and refreshed.
    Raises StepError where there is no terminal for it.
    """
    edit = (action.path / "EDIT").exists()
    if edit and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise StepError(
            f"{action.path}/EDIT asks for a shell, and this is no terminal",
            hint="remove the file EDIT, or run the build from a terminal",
        )
    if site.quilt is None:
        message = f"{action.path} has patches, and there is no quilt for it"
        raise AssertionError(message)
    stage = site.work / site.at.name
    # Patches that are made here name the folder: as in pi-gen it is the stage's.
    work = f"{_PLACE}/{site.at.name}"
    (stage / "rootfs").mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        root = stack.enter_context(
            native.Root(tree=site.quilt).enter(site.scratch / f"quilt-{action.number}")
        )
        for inside, shown in ((work, stage), (f"{work}/rootfs", site.root),
                              (_PATCHES, action.path)):  # fmt: skip
            (root / inside).mkdir(parents=True, exist_ok=True)
            stack.enter_context(mounts.bind(shown, root / inside))
        env = {
            **chroot.environment(host_arch(), site.plan.epoch, site.plan.variables),
            "QUILT_PATCHES": f"/{_PATCHES}",
            "WORK": work,
            "PC": f"{action.path.parent.name}-pc",
            "EDIT": "",
        }
        if edit:
            _run(root, env | {"EDIT": "yes"}, site)
            _edit(root, env, site)
        _run(root, env, site)


def _run(root: Path, env: dict[str, str], site: Site) -> None:
    stream(chroot.command(root, ["/bin/bash", "-e"]), line=site.line, input=_APPLY, env=env)


def _edit(root: Path, env: dict[str, str], site: Site) -> None:
    site.line("a shell for the patches")
    sys.stdout.write("Edit the patches: quilt new, quilt edit, quilt refresh; then: exit\n")
    sys.stdout.flush()
    words = ["/bin/bash", "-c", f"cd /{env['WORK']} && exec /bin/bash -i"]
    attach(chroot.command(root, words), env=env | {"TERM": "linux", "EDITOR": "vi"})
