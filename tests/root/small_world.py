"""What the small build is made of: two packages, and a server on the loopback."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from glovebox.host.run import run
from glovebox.lock.lock import Package
from tests.root import tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONTROL = """\
Package: {name}
Version: 1
Architecture: all
Essential: yes
Maintainer: nobody <nobody@example.org>
Description: a package of the small build
"""
# A download takes a moment, so that some kills come in the middle of it.
_PIECES, _PIECE_S = 10, 0.02


def firmware(salt: str) -> bytes:
    """Give a file to download, another one for each salt."""
    return hashlib.sha256(salt.encode()).digest() * 8192


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Write ``folder/world.json``, and serve what it names until the block ends."""
    served = folder / "served"
    packages = [_package(name, folder / name, served) for name in ("apt", "tiny")]

    class Handler(http.server.BaseHTTPRequestHandler):
        """Sends files, the large ones in pieces."""

        def do_GET(self) -> None:
            """Answer."""
            name = self.path[1:]
            packed = served / name
            data = packed.read_bytes() if packed.exists() else firmware(name)
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            size = -(-len(data) // _PIECES)
            try:
                for start in range(0, len(data), size):
                    self.wfile.write(data[start : start + size])
                    time.sleep(_PIECE_S if len(data) > 100_000 else 0)
            except OSError:  # whoever asked was killed
                self.close_connection = True

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    root = tools.built()
    world = {
        "url": url,
        "tools": str(root.tree) if root else "",
        "packages": [{**asdict(one), "url": f"{url}/{one.url}"} for one in packages],
    }
    (folder / "world.json").write_text(json.dumps(world))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _package(name: str, tree: Path, served: Path) -> Package:
    """Make a package that its file system alone makes useful."""
    (tree / "DEBIAN").mkdir(parents=True)
    control = _CONTROL.format(name=name)
    (tree / "DEBIAN/control").write_text(control)
    if name == "tiny":
        for folder in ("boot/firmware", "etc/apt", "usr"):
            (tree / folder).mkdir(parents=True)
        (tree / "boot/firmware/config.txt").write_text("arm_64bit=1\n")
        (tree / "boot/firmware/kernel8.img").write_bytes(b"kernel\n" * 50_000)
        for link in ("bin", "sbin", "lib", "lib64"):
            (tree / link).symlink_to(f"usr/{link}")
    served.mkdir(exist_ok=True)
    path = served / f"{name}.deb"
    run(["dpkg-deb", "--root-owner-group", "--build", tree, path])
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    index = f"Filename: ./{path.name}\nSize: {len(data)}\nSHA256: {digest}"
    return Package(
        name=name, version="1", arch="all", url=path.name, size=len(data), sha256=digest,
        stanza=f"{control}{index}",
    )  # fmt: skip
