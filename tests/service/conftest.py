"""One service for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.served import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with an empty data folder."""
    with serving(tmp_path_factory.mktemp("data")) as one:
        yield one
