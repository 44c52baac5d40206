"""Say how an image gets onto a card: after a build, and while it is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from glovebox.config.rules import AUTO, DEFAULT_HOSTNAME
from glovebox.errors import plain
from glovebox.host import files
from glovebox.project import export, imager, offer, private, serve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from glovebox.card.disks import Disk
    from glovebox.config.schema import Config
    from glovebox.project.opened import Project


def how_to_flash(project: Project) -> None:
    """Say where the images lie, how one gets onto a card and how to log in."""
    for other in project.each_image()[:-1]:
        size = other.image.stat().st_size / 1e9
        _console().print(f"Also made: {other.image}  ({size:.1f} GB)", markup=False)
    image, config = project.image, project.loaded.config
    key = f" -i {project.access.private}" if project.access.private else ""
    name = config.image_hostname
    if config.survives_cuts and config.hostname == AUTO:
        name += "-SERIAL"
    console = _console()
    for line in (
        "",
        f"The image: {image}  ({image.stat().st_size / 1e9:.1f} GB)",
        *(f"Packed:    {copy}  ({size / 1e6:.0f} MB)" for copy, size in _packed(project)),
        *_private(project),
        "Flash it:  card in this machine:  ./invoke flash   (shows the cards; writes nothing yet)",
        "           in another computer:   ./invoke serve   (a link for Raspberry Pi Imager)",
        f"           or: dd if={image} of=/dev/YOUR_CARD bs=4M conv=fsync status=progress",
        f"Log in:    ssh{key} {config.user.name}@{name}.local",
        *_name_told(config),
        f"           ({project.access.origin})",
        "Try it:    ./invoke boot     Prove it: ./invoke verify",
    ):
        console.print(line, markup=False)


def what_is_lost(disk: Disk, *, keep_data: bool) -> tuple[str, str]:
    """Say what would be lost of a disk that is written, and ask whether it may."""
    what = f"{disk.device} ({disk.model}, {disk.size / 1e9:.1f} GB)"
    if keep_data:
        return (
            f"the system on {what} would be lost",
            f"The system on {what} is lost, its data partition stays.",
        )
    return f"all on {what} would be lost", f"All that is on {what} is lost."


def answers(image: Path, *, keep_data: bool = False, name: str = "") -> str:
    """Say where the board of a flashed image will answer; nothing of an image that is not ours."""
    if name:
        return f"it answers to {name}.local, once it has taken that over"
    if keep_data:
        return "name, user, keys and networks that it took over from its card before still count"
    name = image.name.partition(".img")[0]
    told = files.read_object(image.with_name(f"{name}.manifest.json")) or {}
    hostname, user = told.get("hostname"), told.get("user")
    if not hostname or not user:
        return ""
    if hostname != AUTO:
        return f"it answers to {hostname}.local: ssh {user}@{hostname}.local"
    if not told.get("car"):
        return f"it answers to {DEFAULT_HOSTNAME}.local: ssh {user}@{DEFAULT_HOSTNAME}.local"
    return (
        "it names itself by its serial number, which a screen at HDMI shows until it is set up;"
        " a name of yours: hostname in glovebox.yaml on the card"
    )


def disks(found: Sequence[Disk]) -> None:
    """Print the disks a card can be, and what keeps one from being written."""
    console = _console()
    if not found:
        console.print("There is no card: nothing on USB or MMC has a medium in it.")
        return
    table = Table("device", "bus", "GB", "model", "", box=None, header_style="bold")
    for one in found:
        state = "; ".join(one.used) or "free"
        words = (str(one.device), one.bus, f"{one.size / 1e9:.1f}", one.model, state)
        table.add_row(*(plain(word) for word in words))
    console.print(table)
    console.print("To write one: ./invoke flash --device DEVICE; all that is on it is lost.")


def _packed(project: Project) -> list[tuple[Path, int]]:
    """Give the packed copies and their sizes."""
    copies = [export.packed(project, how) for how in project.loaded.config.export.pack]
    return [(path, path.stat().st_size) for path in copies]


def _private(project: Project) -> tuple[str, ...]:
    """Say where an image is its owner's alone, and why."""
    held = private.held(project.loaded.config)
    if not held:
        return ()
    return (
        f"           it may hold secrets ({', '.join(held)}): only you can read it, and `serve`",
        f"           wants it named: --image {project.name}",
    )


def _name_told(config: Config) -> tuple[str, ...]:
    """Say which name a board gives itself, where it does."""
    if not (config.survives_cuts and config.hostname == AUTO):
        return ()
    return (
        "           SERIAL: the last eight digits of the board's serial number; for another name",
        "           write hostname: into image.local.yaml, or into glovebox.yaml on the card;",
        "           until then a screen at HDMI shows it, for which HDMI stays on",
    )


def served(base: str, minutes: float) -> None:
    """Say how Raspberry Pi Imager, or a browser, gets to what is served."""
    console = _console()
    for line in (
        serve.qr(f"{base}/"),
        f"In a browser:            {base}/",
        f"Raspberry Pi Imager:     {offer.link(base)}",
        f"  ({imager.NEEDED} or newer; or: rpi-imager --repo {base}/{offer.LIST})",
        f"It ends {minutes:g} minutes after the last download, or with Ctrl-C.",
    ):
        console.print(line, markup=False)


def kept_back(found: Mapping[str, tuple[str, ...]], verb: str) -> None:
    """Say which images are not offered, and how they would be."""
    for name, secrets in found.items():
        _console().print(
            f"{name} may hold secrets ({', '.join(secrets)}) and is left out;"
            f" to {verb} it all the same: --image {name}",
            markup=False,
        )


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)
