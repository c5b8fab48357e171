"""Set-up shared by all tests, and the choice of slow tests.

Slow are whole crawls, processes that are killed and servers that break: the folders in SLOW except the files in QUICK,
and single tests marked `slow` elsewhere. `pytest` without arguments leaves them out; `pytest tests` runs all, as CI
does.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aioresponses.core
import pytest
from aiohttp import ClientResponse
from hypothesis import settings

from tests.database_server import DatabaseServer
from tests.object_server import ObjectServer

SLOW = frozenset({"live", "faults", "outages"})
QUICK = frozenset({"test_private", "test_reading", "test_referee"})

# Wall time of an example depends on the load of the machine; where cost matters, `tests.effort` bounds CPU time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

if "stream_writer" in inspect.signature(ClientResponse.__init__).parameters:

    class _Response(ClientResponse):
        """aioresponses 0.7.9 builds responses without the argument that aiohttp 3.14 asks for."""

        def __init__(self, *args: Any, **options: Any) -> None:
            options.setdefault("stream_writer", SimpleNamespace(output_size=0))
            super().__init__(*args, **options)

    vars(aioresponses.core)["ClientResponse"] = _Response


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseServer]:
    """A PostgreSQL server for the tests of this process; skips where there is none."""
    pytest.importorskip("psycopg")
    server = DatabaseServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    """An S3 server for the tests of this process; skips where there is none."""
    pytest.importorskip("obstore")
    server = ObjectServer()
    yield server
    server.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the slow tests; deselect them where the command line names no path and no expression."""
    for item in items:
        if item.path.parent.name in SLOW and item.path.stem not in QUICK:
            item.add_marker(pytest.mark.slow)
    all_asked = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if all_asked and not config.option.markexpr and not config.option.keyword:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
