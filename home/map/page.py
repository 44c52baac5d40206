"""The page: our HTML, style and code with npm's packages and, in a file, the document inside.

``python -m home.map.page FILE`` writes the page without a document, as a server gives it out; a
wheel carries it as ``built.html``, so that the machine it is installed on needs no npm.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from home.map import parts
from home.map.document import write

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILT = Path(__file__).with_name("built.html")
SLOT = "{{document.gz}}"
# Images that leaflet's style names and our page never shows; none may be asked for.
IMAGE = re.compile(r"url\((?!['\"]?(?:#|data:))[^)]*\)")


def served() -> str:
    """Give the page that asks its server for the document."""
    return _shell().replace(SLOT, "")


def file(document: Mapping[str, Any]) -> str:
    """Give the page with a document in it: it needs no server and no network."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=True)
    return _shell().replace(SLOT, packed(text))


def packed(text: str) -> str:
    """Pack text so that a browser unpacks it; the same text gives the same bytes."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


@cache
def _shell() -> str:
    if BUILT.is_file():
        return BUILT.read_text(encoding="utf-8")
    return make()


def make() -> str:
    """Put the page together; `SLOT` is where a document goes."""
    streets = parts.read("pmtiles.js") + "\n;\n" + parts.read("protomaps.js")
    given = {
        "leaflet.css": IMAGE.sub("none", parts.read("leaflet.css")),
        "map.css": _own("map.css"),
        "world.gz": packed(parts.read("world.json")),
        "streets.gz": packed(_without_map(streets)),
        "leaflet.js": _script(parts.read("leaflet.js")),
        "topojson.js": _script(parts.read("topojson.js")),
        "map.js": _script(_own("map.js")),
    }
    page = _own("index.html")
    for name, text in given.items():
        page = page.replace("{{" + name + "}}", text)
    return page


def _own(name: str) -> str:
    return (parts.HERE / name).read_text(encoding="utf-8")


def _script(text: str) -> str:
    """Give a script as it may stand in a page: nothing in it ends the element."""
    return _without_map(text).replace("</script", "<\\/script")


def _without_map(text: str) -> str:
    # A browser's tools would ask for the file that this comment names.
    return re.sub(r"^//# sourceMappingURL=.*$", "", text, flags=re.MULTILINE)


if __name__ == "__main__":
    write(Path(sys.argv[1]), make())
