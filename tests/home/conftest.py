"""A broker for the tests of the home."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kafka_broker import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Give a broker that answers."""
    made = Broker(tmp_path_factory.mktemp("kafka"))
    made.start()
    yield made
    made.end()
