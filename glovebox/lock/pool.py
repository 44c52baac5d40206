"""Ask a mirror whether it has the files that its indices list.

In the middle of a sync, or for an architecture that it follows late, it may list what it has not.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glovebox.lock.apt import Download

AT_ONCE = 8
TIMEOUT_S = 15
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


def missing(downloads: Sequence[Download], *, timeout_s: int = TIMEOUT_S) -> list[Download]:
    """Give the files that the mirror says it does not have.

    Only its plain "not found" counts. A mirror that cannot be asked in this way (another protocol,
    a proxy that only apt knows) is not asked further: the download will tell.
    """
    silent = Event()

    def is_gone(one: Download) -> bool:
        if silent.is_set() or not one.url.startswith(("http://", "https://")):
            return False
        request = urllib.request.Request(one.url, method="HEAD")  # noqa: S310  checked above
        try:
            urllib.request.urlopen(request, timeout=timeout_s).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            return error.code in _GONE
        except OSError:
            silent.set()
        return False

    with ThreadPoolExecutor(max_workers=AT_ONCE) as workers:
        return [
            one
            for one, gone in zip(downloads, workers.map(is_gone, downloads), strict=True)
            if gone
        ]
