"""What pi-gen gives to stages beside their files: variables, and files that a shell sources."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glovebox.boards import kernel
from glovebox.config import rules
from glovebox.errors import ConfigError
from glovebox.host import chroot, hints
from glovebox.host.arch import ARCHES
from glovebox.host.run import CommandError, environment, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from glovebox.boards.boards import Board
    from glovebox.config.build import BuildConfig
    from glovebox.stage.stage import Stage

PLACES = rules.PLACES
# What pi-gen hands on to a script only where its config, or the moment, gives it a value.
UNSET = (
    "FIRST_USER_PASS", "WPA_COUNTRY", "PUBKEY_SSH_FIRST_USER", "CLEAN", "APT_PROXY", "TEMP_REPO",
    "IMG_SUFFIX", "NOOBS_NAME", "NOOBS_DESCRIPTION", "EXPORT_DIR", "EXPORT_ROOTFS_DIR",
    "QUILT_PATCHES", "CAPSH_ARG",
)  # fmt: skip
# Sourced in a shell that hands on all that was assigned, exported or not.
# Whatever the file prints, and however it ends, comes before the mark.
_MARK = "glovebox: what was set"
_SOURCING = (
    f"""trap 'status=$?; printf "\\0%s\\0" "{_MARK}"; env -0; exit $status' EXIT; """
    """set -a; cd "$1"; source "$2" """
)


@dataclass(frozen=True, kw_only=True)
class Export:
    """An image to be made of what there is after a stage, and what is put behind its name."""

    stage: str
    suffix: str = ""


_SUFFIX = "IMG_SUFFIX=-lite and the like: what is put behind the image's name"
_CAPSH_ARG = "--drop=cap_setfcap"
# What waits for a pin to fall.
_POWER_PACKAGES = "gpiod"


def variables(config: BuildConfig, board: Board) -> dict[str, str]:
    """Give what stages find in their environment: pi-gen's names, and a few of ours.

    The names and their defaults are those of pi-gen's build.sh.
    """
    return {
        "PI_GEN": "glovebox",
        "PI_GEN_REPO": "glovebox",
        "PI_GEN_RELEASE": "Glovebox",
        "GIT_HASH": "",
        "ARCH": board.arch,
        "RELEASE": config.suite,
        "IMG_NAME": f"{config.image_hostname}-{board.name}",
        "USE_QEMU": "0",
        "DEPLOY_COMPRESSION": "none",
        "COMPRESSION_LEVEL": "6",
        "TARGET_HOSTNAME": config.image_hostname,
        "FIRST_USER_NAME": config.user.name,
        "DISABLE_FIRST_BOOT_USER_RENAME": "0",
        "PASSWORDLESS_SUDO": "0",
        "LOCALE_DEFAULT": config.locale,
        "KEYBOARD_KEYMAP": config.keyboard,
        "KEYBOARD_LAYOUT": "English (UK)",
        "TIMEZONE_DEFAULT": config.timezone,
        **({"WPA_COUNTRY": config.wifi.country} if config.wifi.country else {}),
        "ENABLE_SSH": "1",
        "PUBKEY_ONLY_SSH": "1",
        "ENABLE_CLOUD_INIT": "0",
        "QUILT_NO_DIFF_INDEX": "1",
        "QUILT_NO_DIFF_TIMESTAMPS": "1",
        "QUILT_REFRESH_ARGS": "-p ab",
        **({} if config.environment.get("SETFCAP") == "1" else {"CAPSH_ARG": _CAPSH_ARG}),
        "BOARD": str(board.name),
        "BOARD_DTB": board.dtb,
        "KERNEL_PACKAGE": kernel.package(config, board),
        "QUEUE_SERVER": str(config.queue.server),
        "POWER_LATCH_PIN": str(config.power.latch_pin or ""),
        "PPS_PIN": str(config.pps_pin or ""),
        "POWER_PACKAGES": _POWER_PACKAGES if config.power.watched_pin else "",
        "CROSS_COMPILE": f"{ARCHES[board.arch].triplet}-",
        **config.environment,
    }


def dated(given: Mapping[str, str], epoch: int) -> dict[str, str]:
    """Add the variables with a date: that of the packages, so that the same ones give the same."""
    date = time.strftime("%Y-%m-%d", time.gmtime(epoch))
    name = f"{given.get('IMG_DATE', date)}-{given['IMG_NAME']}"
    told = {"IMG_DATE": date, "IMG_FILENAME": name, "ARCHIVE_FILENAME": f"image_{name}"}
    return {**told, **given}


def exports(stages: Sequence[Stage], given: Mapping[str, str]) -> tuple[Export, ...]:
    """Give the images that EXPORT_IMAGE files ask for; none: the one of the last stage.

    The files are sourced one after the other in one environment, as pi-gen does it: what one sets
    the next one finds. Raises ConfigError when two would get the same name.
    """
    found: list[Export] = []
    known = dict(given)
    for stage in stages:
        if not stage.exports:
            continue
        known |= source(stage.path / "EXPORT_IMAGE", {**known, "EXPORT_DIR": str(stage.path)})
        suffix = known.get("IMG_SUFFIX", "")
        if not suffix.isprintable():
            raise ConfigError(
                f"{stage.path}/EXPORT_IMAGE: IMG_SUFFIX: {suffix!r} is no file's name",
                hint=_SUFFIX,
            )
        if "/" in suffix:
            raise ConfigError(
                f"{stage.path}/EXPORT_IMAGE: IMG_SUFFIX: '{suffix}' names a folder", hint=_SUFFIX
            )
        for other in found:
            if other.suffix == suffix:
                raise ConfigError(
                    f"the images of {other.stage} and {stage.name} would have the same name:"
                    f" both have the IMG_SUFFIX '{suffix}'",
                    hint=f"another one in {stage.path}/EXPORT_IMAGE, or a file SKIP_IMAGES beside"
                    " the one that is not wanted",
                )
        found.append(Export(stage=stage.name, suffix=suffix))
    return tuple(found)


def source(script: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Source a file in bash and give the variables it sets; raises ConfigError when it fails.

    As root it runs as a stage's host scripts do, with the machine read-only around it.
    """
    if b"\r\n" in script.read_bytes():
        raise ConfigError(
            f"{script} has the line ends of Windows (CRLF), which a shell takes into its values",
            hint=f"sed -i 's/\\r$//' {script}",
        )
    before = environment(given)
    command = ["bash", "-e", "-c", _SOURCING, "bash", str(script.parent), str(script)]
    if os.geteuid() == 0:
        command = chroot.on_host(command, write=(), need=(script.parent.parent, script.parent))
    try:
        said = run(command, env=before).stdout
    except CommandError as error:
        hint = hints.hint_for(error.tail)
        raise ConfigError(f"{script} cannot be sourced:\n{error.tail}", hint=hint) from error
    entries = said.rpartition(f"\0{_MARK}\0")[2].split("\0")
    after = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    ignored = {"_", "PWD", "OLDPWD", "SHLVL", "status"}
    return {
        name: value
        for name, value in after.items()
        if name not in ignored and before.get(name) != value
    }
