"""A stand-in for Raspberry Pi's server of downloads, on the loopback; it misbehaves when told to.

The real one could not be reached where this was written. The list has the schema of Raspberry Pi
Imager's, with the Lite images two levels deep; the image is a few random bytes, signed by a key of
the tests' own.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glovebox.lock import raspios, signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stock_image import Stock

HERE = Path(__file__).with_name("raspios")
SIGNER = "A99D137547C916AACC54AC2AD64D9637386A66CD"
IMAGE = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(9600))
SHA256 = hashlib.sha256(IMAGE).hexdigest()
RAW_SHA256 = "5e" * 32
NAME = "2026-09-15-raspios-trixie-arm64-lite.img.xz"
FOLDER = "raspios_lite_arm64/images/raspios_lite_arm64-2026-09-15"
# Many bytes, none of which is in the image's own order.
OTHER = IMAGE[::-1]
_ALWAYS = {"description": "A port", "icon": "https://example.org/i.png", "devices": ["pi5-64bit"]}


def data(name: str) -> bytes:
    """Give a key or signature that lies beside this file."""
    return (HERE / name).read_bytes()


def entry(file: str = NAME, **changes: object) -> dict[str, Any]:
    """Give an operating system as Imager's list has it."""
    folder = FOLDER.replace("arm64", "armhf") if "armhf" in file else FOLDER
    return {
        **_ALWAYS,
        "name": "Raspberry Pi OS Lite",
        "url": f"{raspios.SERVER}/{folder}/{file}",
        "extract_size": 3_078_619_136,
        "extract_sha256": RAW_SHA256,
        "image_download_size": len(IMAGE),
        "image_download_sha256": SHA256,
        "release_date": file[:10],
        "init_format": "cloudinit-rpi",
        **changes,
    }


def listing(*entries: dict[str, Any]) -> dict[str, Any]:
    """Give a list with operating systems where Raspberry Pi's has Lite: two levels deep."""
    desktop = entry("2026-09-15-raspios-trixie-arm64.img.xz", name="Raspberry Pi OS (64-bit)")
    other = {"name": "Raspberry Pi OS (other)", "subitems": list(entries)}
    elsewhere = {"name": "Other", "subitems_url": "https://example.org/other.json"}
    return {
        "imager": {"latest_version": "2.0.0", "devices": [{"name": "Raspberry Pi 5"}]},
        "os_list": [desktop, {"name": "General", "subitems": [other]}, elsewhere],
    }


@dataclass
class Server:
    """What it has by path, and its moods: one word for each request of the image, then it is well.

    `drop` ends the connection after a third, `dead` before the first byte, `whole` knows no ranges,
    `silent` says nothing, `changed` has another file by now, `short` one of half the length, a
    number is its answer.
    """

    files: dict[str, bytes | Path] = field(default_factory=dict)
    moods: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    # From which byte on the image was asked for, each time.
    begun: list[int] = field(default_factory=list)
    endless: frozenset[str] = frozenset()
    over: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def serve(self, **files: bytes) -> None:
        """Have other files: `list`, `key`, `image`, `sig`."""
        places = {
            "list": f"/{raspios.LIST}", "key": f"/{raspios.KEY}",
            "image": f"/{FOLDER}/{NAME}", "sig": f"/{FOLDER}/{NAME}.sig",
        }  # fmt: skip
        for name, content in files.items():
            self.files[places[name]] = content

    def publish(self, *stocks: Stock) -> None:
        """Have these stand-ins of whole images, listed, with their key and package archives."""
        entries = []
        for one in stocks:
            entries.append(
                entry(
                    one.packed.name,
                    url=f"{raspios.SERVER}/{one.public_path}",
                    extract_size=one.raw_size,
                    extract_sha256=one.raw_sha256,
                    image_download_size=one.size,
                    image_download_sha256=one.sha256,
                )
            )
            self.files[f"/{one.public_path}"] = one.packed
            self.files[f"/{one.public_path}.sig"] = Path(f"{one.packed}.sig")
            self.files[f"/{raspios.KEY}"] = one.key
            for path in (path for path in one.archive.rglob("*") if path.is_file()):
                self.files[f"/debian/{path.relative_to(one.archive)}"] = path
        self.files[f"/{raspios.LIST}"] = json.dumps(listing(*entries)).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the server is in the mood."""

    stand_in: Server

    def do_GET(self) -> None:
        """Send a file, or what the mood makes of it."""
        server = self.stand_in
        server.asked.append(self.path)
        agent = self.headers.get("User-Agent", "")
        if re.match(r"(Python-urllib|curl|Wget)", agent) or not agent:
            self.send_error(403)
        elif self.path in server.endless:
            self._endless()
        elif self.path not in server.files:
            self.send_error(404)
        else:
            self._give(server.files[self.path])

    def _give(self, content: bytes | Path) -> None:
        if isinstance(content, Path):
            with content.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                self._answer(data)
        else:
            self._answer(content)

    def _answer(self, content: bytes | mmap) -> None:
        if self.path.endswith(".xz"):
            self._image(content)
        else:
            self._send(200, content)

    def _image(self, content: bytes | mmap) -> None:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(found[1]) if found else 0
        self.stand_in.begun.append(begin)
        mood = self.stand_in.moods.pop(0) if self.stand_in.moods else ""
        if mood.isdigit():
            self.send_error(int(mood))
            return
        if mood == "silent":
            self.stand_in.over.wait()
            self.close_connection = True
            return
        if mood == "whole":
            begin = 0
        elif mood == "changed":
            content = OTHER
        elif mood == "short":
            content = OTHER[: len(OTHER) // 2]
        if begin >= len(content):
            self.send_error(416)
            return
        ends = {"drop": len(content) // 3, "dead": 0}
        self._send(206 if begin else 200, content[begin:], until=ends.get(mood))

    def _send(self, status: int, content: bytes | mmap, *, until: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:until])
        self.close_connection = True

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" " * 65536)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its own name
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """Run a whole server, with list, key, image and signature, until the block ends."""
    server = Server()
    server.serve(
        list=json.dumps(listing(entry())).encode(),
        key=data("signer.asc"),
        image=IMAGE,
        sig=signature.unarmoured(data("signer.sig.asc")),
    )
    handler = type("Handler", (_Handler,), {"stand_in": server})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        server.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            running.shutdown()
            thread.join()
