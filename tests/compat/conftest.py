"""The node that the clients speak to: that of the ingest tests, with the fast lane before it as `flatline` has it."""

from typing import Any

import pytest

import tests.ingest.conftest
from ingest.fast import FastLane
from ingest.ping import Pings
from runtime.serve import serve
from tests.ingest.conftest import new_node, node

__all__ = ["fast_lane", "new_node", "node"]


@pytest.fixture(autouse=True)
def fast_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve_as_flatline_does(app: Pings, **options: Any) -> None:
        await serve(app, **options, http=FastLane(app))

    monkeypatch.setattr(tests.ingest.conftest, "serve", serve_as_flatline_does)
