"""Debian's Chromium without a screen, driven by its own protocol over a pipe.

Own code: a library for it would bring a browser of its own, or a WebSocket client, for six verbs.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--hide-scrollbars", "--mute-audio",
    "--remote-debugging-pipe",
)  # fmt: skip
ANSWER_S = 120.0
PHONE, DESK = (390, 844, 3), (1280, 800, 1)


class Browser:
    """One tab. ``requests`` holds every address that the page asked for since it was opened."""

    def __init__(self, to: int, back: int) -> None:
        """Take over the pipe's ends and open a tab."""
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._to, self._back, self._rest, self._number = to, back, b"", 0
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            self._call(f"{domain}.enable")

    def look(self, *, size: tuple[int, int, int] = DESK, dark: bool = False) -> None:
        """Be a screen of this size and liking."""
        width, height, scale = size
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=size == PHONE,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Open an address and wait until the map is drawn."""
        self.requests.clear()
        self._call("Page.navigate", url=url)
        self.until("document.body && document.body.dataset.ready")

    def until(self, script: str) -> Any:  # noqa: ANN401  whatever the script gives
        """Wait for a script to give something true."""
        until = time.monotonic() + ANSWER_S
        while not (value := self.ask(script)):
            assert time.monotonic() < until, (script, self.errors)
            time.sleep(0.05)
        return value

    def ask(self, script: str) -> Any:  # noqa: ANN401  as above
        """Give what a script gives."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def give_file(self, selector: str, path: Path) -> None:
        """Choose a file, as a user would in the dialogue."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        node = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def picture(self, path: Path) -> bytes:
        """Save what is on the screen, once all of it is painted."""
        self.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        data = base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        path.write_bytes(data)
        return data

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + ANSWER_S
        while True:
            said = self._read(until)
            if said.get("id") == self._number:
                assert "error" not in said, (method, said["error"])
                return dict(said["result"])
            self._heard(said)

    def _heard(self, said: dict[str, Any]) -> None:
        what = said.get("params", {})
        match said.get("method"):
            case "Network.requestWillBeSent" if not what["request"]["url"].startswith("data:"):
                self.requests.append(what["request"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(what["exceptionDetails"])[:800])
            case "Log.entryAdded" if what["entry"]["level"] == "error":
                self.errors.append(what["entry"]["text"])
            case _:
                pass

    def _read(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], until - time.monotonic())
            assert ready, "the browser does not answer"
            data = os.read(self._back, 1 << 20)
            assert data, "the browser ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run Chromium with an empty profile; without it skip, and in CI fail."""
    program = shutil.which("chromium")
    if program is None:
        missing("Chromium; ./invoke setup --tests brings it")
    to_read, to_write = os.pipe()
    back_read, back_write = os.pipe()

    def ends() -> None:
        # The protocol's pipe is file descriptors 3 and 4 of the browser.
        os.dup2(os.dup(to_read), 3)
        os.dup2(os.dup(back_write), 4)

    command = [str(program), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    with (folder.parent / "chromium.log").open("wb") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False,
            preexec_fn=ends,  # noqa: PLW1509  no thread of ours runs yet
        )  # fmt: skip
    os.close(to_read)
    os.close(back_write)
    try:
        yield Browser(to_write, back_read)
    finally:
        child.terminate()
        child.wait(30)
        os.close(to_write)
        os.close(back_read)
