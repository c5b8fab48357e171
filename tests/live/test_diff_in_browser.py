"""The page of what changed in a real browser with the network off: it asks for nothing, fits, and everyone can read it.

Skipped without Chromium, and the check of accessibility without axe-core, see test_report_page.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.report.diff_page import diff_page
from tests.chromium import Chromium, axe, chromium, executable
from tests.contract.test_diff_page import changes

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("diff") / "diff.html"
    path.write_text(diff_page(changes("a/long/path/" * 8), "crawls/mine"))
    return path


@pytest.mark.parametrize(("width", "dark"), [(1366, False), (1366, True), (400, False), (400, True)])
def test_it_fits_and_axe_finds_nothing(browser: Chromium, page: Path, width: int, dark: bool) -> None:
    library = axe()
    with browser.tab(page) as (tab, seen):
        tab.look(width=width, dark=dark)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert (seen.requests, seen.errors) == ([], [])
        if library is None:
            pytest.skip("no axe-core on this machine: npm install --global axe-core")
        tab.evaluate(library.read_text(encoding="utf-8") + "; 0")
        told = tab.evaluate("axe.run().then(found => found.violations.map(one => [one.id, one.impact]))")
    assert told == []
