"""A site that changes, and first crawls of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.changing_site import ChangingSite, changing_site
from tests.contract.recrawls import first, pages


@pytest.fixture
def site() -> Iterator[ChangingSite]:
    with changing_site(pages()) as served:
        yield served


@pytest.fixture
def crawled(site: ChangingSite, tmp_path: Path) -> Path:
    """The directory of a first crawl of the site."""
    return first(site, tmp_path)


@pytest.fixture(params=["sqlite", "files"])
def stored(request: pytest.FixtureRequest, site: ChangingSite, tmp_path: Path) -> Path:
    """As `crawled`, in each store."""
    return first(site, tmp_path, store=request.param)
