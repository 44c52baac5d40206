"""`invoke info`: what an image is, without booting it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from glovebox.boards import firmware
from glovebox.card import bootfiles, first_start, media, system
from glovebox.errors import ConfigError
from glovebox.host import files
from glovebox.images import lacks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glovebox.host.monitor import Monitor
    from glovebox.store.store import Store

CONFIG = "config.txt"


@dataclass(frozen=True, kw_only=True)
class View:
    """An image whose files can be read: its root file system and a copy of its boot files."""

    card: media.Card
    root: Path
    boot: Path

    @property
    def boot_names(self) -> set[str]:
        """The files of the boot partition, by their path in it."""
        return {
            str(path.relative_to(self.boot)) for path in files.walk(self.boot) if path.is_file()
        }

    def boot_text(self, name: str) -> str | None:
        """Give what a boot file says; FAT finds it in either case."""
        wanted = name.strip("/").lower()
        for found in self.boot_names:
            if found.lower() == wanted:
                return (self.boot / found).read_text(errors="replace")
        return None

    def built_for(self, kernel: str) -> frozenset[str]:
        """Tell the instruction sets a kernel of the boot partition is for."""
        version = kernel.removeprefix("vmlinuz-")
        name = next((one for one in self.boot_names if one.lower() == kernel.lower()), kernel)
        with (self.boot / name).open("rb") as file:
            head = file.read(64)
        settings = system.text(self.root, f"boot/config-{version}")
        return firmware.instruction_sets(
            name, head, settings or self.boot_text(f"config-{version}") or ""
        )

    def config(self, model: firmware.Model) -> firmware.Reading:
        """Read config.txt as a model does."""
        number = self.card.boot.number if self.card is not None else None
        return firmware.read(self.boot_text(CONFIG) or "", model, self.boot_text, partition=number)


@contextmanager
def viewed(image: Path, store: Store, monitor: Monitor) -> Iterator[View]:
    """Open an image for reading; nothing of it is changed."""
    found = media.look(image, store, monitor)
    with store.scratch() as scratch:
        (scratch / "root").mkdir()
        bootfiles.copy(found.raw, found.boot, scratch / "boot")
        with media.mounted(found, scratch / "root") as root:
            yield View(card=found, root=root, boot=scratch / "boot")


def model_named(name: str) -> firmware.Model:
    """Give a model by its name; raises ConfigError with the names there are."""
    try:
        return firmware.MODELS[name]
    except KeyError as error:
        raise ConfigError(
            f"no board is called {name!r}", hint=f"one of {', '.join(firmware.MODELS)}"
        ) from error


def facts(view: View, model: firmware.Model | None) -> dict[str, object]:
    """Gather all that is known of an image, for `--json`; sizes in bytes."""
    names = view.boot_names
    verdicts = [
        firmware.judge(view.config(each), each, names, view.built_for)
        for each in firmware.MODELS.values()
    ]
    read_as = model or next((each.model for each in verdicts if each.boots), None)
    reading = view.config(read_as) if read_as else None
    release = system.os_release(view.root)
    return {
        "image": str(view.card.source),
        "packed": view.card.packing,
        "bytes": view.card.size,
        "disk_id": view.card.table.disk_id,
        "partitions": list(_partitions(view)),
        "system": {
            "name": release.get("PRETTY_NAME"),
            "suite": release.get("VERSION_CODENAME"),
            "arch": system.found_arch(view.root),
            "hostname": system.text(view.root, "etc/hostname").strip() or None,
            "made": next(iter(system.text(view.root, "etc/rpi-issue").splitlines()), None),
            "boot": f"/{system.boot_point(view.root)}",
            "clean": view.card.system.clean,
            "kernels": system.kernels(view.root),
        },
        "boards": [
            {
                "board": each.model.name,
                "title": each.model.title,
                "boots": each.boots,
                "kernel": each.kernel,
                "initramfs": each.initramfs,
                "dtb": each.dtb,
                "missing": list(each.missing),
                "lacks": list(lacks.of(view.root, each)),
            }
            for each in verdicts
        ],
        "config": _config(view, read_as, reading),
        "first_start": first_start.read(view.root, view.boot).jobs,
        "users": [asdict(user) for user in system.users(view.root)],
        "units": system.units(view.root),
        "packages": system.versions(view.root),
    }


def _config(
    view: View, model: firmware.Model | None, reading: firmware.Reading | None
) -> dict[str, object] | None:
    if model is None or reading is None:
        return None
    name = reading.values.get("cmdline", "cmdline.txt")
    return {
        "board": model.name,
        "values": reading.values,
        "orders": reading.orders,
        "only_if": [
            {"filters": list(line.only_if), "line": line.text}
            for line in reading.lines
            if line.only_if
        ],
        "notes": list(reading.notes),
        "cmdline": (view.boot_text(name) or "").strip(),
    }


def _partitions(view: View) -> Iterator[dict[str, object]]:
    card = view.card
    for part in card.table.partitions:
        entry: dict[str, object] = {
            "number": part.number,
            "start": part.start,
            "bytes": part.size,
            "type": part.kind,
            "role": None,
            "file_system": None,
            "label": None,
            "free": None,
        }
        if part == card.boot:
            free = bootfiles.free(card.raw, card.boot)
            entry |= {"role": "boot", "file_system": "FAT", "free": free}
        elif part == card.root:
            entry |= {
                "role": "root",
                "file_system": "ext4",
                "label": card.system.label or None,
                "free": card.system.free,
            }
        elif part.is_fat:
            entry["file_system"] = "FAT"
        yield entry
