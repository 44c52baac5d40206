"""How a test of a running board waits: for an event that it names, never for a time.

The bound is what a board that keeps time may take; how fast this machine emulates it is known from
its start. Nothing is lost by a generous one: it is reached only by what never comes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from tests.image.standing import patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

POLL_S = 1.0
EVENT_S = 300

T = TypeVar("T")


def until(host: Host, asked: Callable[[], T], event: str, seconds: float = EVENT_S) -> T:
    """Ask until the answer is true, and give it; fail by the name of the event and what was told.

    ``seconds``: the longest it may take a board that keeps time.
    """
    began = time.monotonic()
    while not (answer := asked()):
        waited = time.monotonic() - began
        # Asked for at the end: by then the board's clock knows whether it became slower.
        late = waited > seconds and waited > patience(host, seconds)
        assert not late, f"waited {waited:.0f} s in vain for {event}: {answer!r}"
        time.sleep(POLL_S)
    return answer
