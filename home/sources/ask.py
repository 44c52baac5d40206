"""Asks a source for one answer: with its token, and with patience where it has a bad moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from home.http_call import CallError, call, token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from home.sources.settings import Source

TRIES = 6
PAUSE_S, PAUSE_MAX_S = 1.0, 300.0
AGAIN = (408, 425, 429, 500, 502, 503, 504)


class SourceError(Exception):
    """A source gives no answer that can be used; the message says what it said."""


class StoppedError(SourceError):
    """Told to stop while waiting."""


@dataclass(kw_only=True)
class Asker:
    """Asks one source; ``wait`` sleeps, and tells True if it is time to stop."""

    source: Source
    wait: Callable[[float], bool]
    # Spreads the tries of many homes; nothing secret depends on it.
    random: Random

    def ask(self, parameters: Mapping[str, str]) -> Any:  # noqa: ANN401  JSON's values
        """Give the answer's JSON; SourceError once patience has ended."""
        url = self._url(parameters)
        said = ""
        for tries in range(TRIES):
            after: float | None = None
            try:
                answer = call("GET", url, headers=self._headers(), authority=self.source.authority)
            except CallError as error:
                said = str(error)
            else:
                if answer.good:
                    return self._read(answer.body)
                said = f"{answer.status} {answer.body[:200].decode(errors='replace').strip()}"
                if answer.status not in AGAIN:
                    raise SourceError(said)
                after = answer.retry_after_s
            if tries + 1 < TRIES and self.wait(self._pause(tries, after)):
                raise StoppedError("stopped")
        raise SourceError(f"{said}; {TRIES} tries")

    def _pause(self, tries: int, after: float | None) -> float:
        if after is not None:
            return min(after, PAUSE_MAX_S)
        return float(min(PAUSE_S * 2**tries, PAUSE_MAX_S)) * self.random.uniform(0.5, 1.0)

    def _url(self, parameters: Mapping[str, str]) -> str:
        query = urlencode({**self.source.query, **parameters})
        mark = "&" if "?" in self.source.url else "?"
        return f"{self.source.url}{mark}{query}" if query else self.source.url

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        secret = self.source.token
        if secret is not None:
            # Read at each call: a token that was renewed counts at once.
            headers[secret.header] = secret.prefix + token(secret.file)
        return headers

    def _read(self, body: bytes) -> Any:  # noqa: ANN401  JSON's values
        try:
            return json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"the answer is not JSON: {error}") from error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON's")
