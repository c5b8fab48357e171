"""Set-up shared by all tests, and the choice of slow tests.

Slow are whole crawls, processes that are killed and servers that break: the folders in SLOW except the files in QUICK,
and single tests marked `slow` elsewhere. `pytest` without arguments leaves them out; `pytest tests` runs all. CI leaves
out the `long` ones: those of LONG, of a quarter of a minute and more, whose subject a shorter test covers too, and in
the files of TWO_MODES the modes besides async and prefork. `pytest tests -m long` runs them.
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
LONG = frozenset(
    {
        "test_a_peer_that_did_other_work_is_shown_and_marked_but_nobody_elses_fault",
        "test_a_site_is_measured_with_its_excludes_and_told_in_ratios",
        "test_modes_that_do_unequal_work_are_wrong",
        "test_a_peer_of_the_extra_asks_for_the_same_pages_or_is_named_as_absent",
        "test_a_site_of_https_is_measured_with_the_authority_that_it_needs",
        "test_a_crawl_that_does_not_count_its_attempts_is_void",
        "test_a_session_over_tls_on_asyncio_with_two_interpreters",
    }
)
TWO_MODES = frozenset(
    {
        "test_depth",
        "test_disk",
        "test_endings",
        "test_endless_sites",
        "test_interrupted",
        "test_pipes",
        "test_profiles",
        "test_signals",
        "test_storage_faults",
    }
)

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
        if isinstance(item, pytest.Function) and (item.originalname in LONG or _is_third_mode(item)):
            item.add_marker(pytest.mark.long)
    all_asked = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if all_asked and not config.option.markexpr and not config.option.keyword:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def _is_third_mode(item: pytest.Function) -> bool:
    """Whether a test is that of a mode which CI leaves out."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return item.path.stem in TWO_MODES and parameters.get("mode") in ("threads", "processes")
