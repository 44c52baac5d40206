"""A package index on the loopback, and wheels that are made for a test."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import threading
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest


def wheel(
    name: str,
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    requires: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    commands: Mapping[str, str] | None = None,
) -> tuple[str, bytes]:
    """Make a wheel; give its file's name and its bytes."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    content = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n",
        **(files or {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    if commands:
        told = "".join(f"{command} = {where}\n" for command, where in commands.items())
        content[f"{info}/entry_points.txt"] = f"[console_scripts]\n{told}"
    record = "".join(
        f"{path},sha256={_sum(text.encode())},{len(text.encode())}\n"
        for path, text in content.items()
    )
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for path, text in content.items():
            file.writestr(zipfile.ZipInfo(path), text)
    return f"{name}-{version}-{tag}.whl", packed.getvalue()


def _sum(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


class Index:
    """What is served, and what was asked for."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.sums = True

    def add(self, *wheels: tuple[str, bytes]) -> None:
        """Offer wheels; one of the same name takes the place of the other."""
        self.files.update(wheels)

    def answer(self, path: str) -> bytes | None:
        """Give what lies at a path: a project's page, or a file."""
        self.asked.append(path)
        kind, _, name = path.strip("/").partition("/")
        if kind == "files":
            return self.files.get(name)
        lines = [
            f'<a href="/files/{file}{self._sum(data)}">{file}</a>'
            for file, data in self.files.items()
            if file.partition("-")[0].replace("_", "-").lower() == name
        ]
        page = "".join(lines)
        return f"<!DOCTYPE html><html><body>{page}</body></html>".encode() if lines else None

    def _sum(self, data: bytes) -> str:
        return f"#sha256={hashlib.sha256(data).hexdigest()}" if self.sums else ""


@contextmanager
def served(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Index]:
    """Serve an index, and let it be the one that this machine's pip is configured with."""
    index = Index()

    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers pip."""

        def do_GET(self) -> None:
            """Give the page or the file."""
            found = index.answer(self.path)
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    config = cache / "pip.conf"
    config.write_text(f"[global]\nindex-url = http://127.0.0.1:{server.server_port}/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_CACHE_DIR", str(cache / "pip"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
