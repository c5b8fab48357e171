"""The report of a crawl in a real browser with the network off, on a laptop and on a phone, light and dark.

Without Chromium these tests are skipped; see tests/live/test_report_page.py for the check of accessibility.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from crawler.core.reasons import Reason
from crawler.report.facts import BrokenLink
from crawler.report.page import page as page_of
from crawler.report.side_by_side import beside
from crawler.settings import Settings
from tests.chromium import Chromium, axe, chromium, executable
from tests.contract.written import Written

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium on this machine")

WIDTHS = (1366, 820, 400)
LOOKS = [(1366, False), (1366, True), (400, False), (400, True)]
FEWER = [(1366, False), (400, True)]
HOSTS = 13


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of crawls of many hosts and of one, of one that fetched nothing, and of two side by side."""
    folder = tmp_path_factory.mktemp("reports")
    made = {}
    for name, hosts in (("many", HOSTS), ("one", 1)):
        with closing(Written(folder / name, Settings(seeds=("http://h0.test/",), delay=1.0))) as crawl:
            urls = [f"http://h{n % hosts}.test/a/rather/long/path/{n}?with=query" for n in range(60)]
            crawl.fetch("0001-000", [(url, 1e9 + place / 10, 0.05) for place, url in enumerate(urls)])
            gone = [f"http://h0.test/gone/{n}" for n in range(20)]
            crawl.commit([crawl.end(url, Reason.CLIENT_ERROR, status=404, detail="gone " * 9) for url in gone])
            crawl.finish(cpu_seconds=3725.0, peak_memory=133_600_000)
            facts = crawl.facts()
            broken = tuple(BrokenLink(url, 404, tuple(urls[:3])) for url in gone)
            made[name] = replace(facts, broken=broken, tally=replace(facts.tally, bytes=133_600_000, urls=1_234_567))
    with closing(Written(folder / "failed", Settings(seeds=("http://h0.test/",)))) as crawl:
        crawl.commit([crawl.end("http://h0.test/", Reason.CONNECT, status=0, detail="connection refused")])
        crawl.finish()
        made["failed"] = crawl.facts()
    texts = {name: page_of(facts, "aiohttp") for name, facts in made.items()}
    texts["beside"] = beside([(made["many"], "aiohttp"), (made["one"], "curl")])
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


NAMES = ("many", "one", "failed", "beside")


@pytest.mark.parametrize("name", NAMES)
def test_it_asks_for_nothing_and_fits_every_window(browser: Chromium, pages: dict[str, Path], name: str) -> None:
    with browser.tab(pages[name], scripts=False) as (tab, seen):
        for width in WIDTHS:
            tab.look(width=width, dark=width == 820)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            cut = tab.evaluate(
                "[...document.querySelectorAll('.tiles b, .banner, h1, h2, h3')]"
                ".filter(one => one.scrollWidth > one.clientWidth).map(one => one.textContent)"
            )
            assert cut == []
    assert seen.requests == [] and seen.errors == []


def test_on_a_phone_urls_are_without_the_origin_that_they_share(browser: Chromium, pages: dict[str, Path]) -> None:
    shown = "document.querySelector('#urls a.url').innerText"
    note = "document.querySelector('#urls .stripped').innerText"
    drawn = "getComputedStyle(document.querySelector('#urls .stripped')).display"
    with browser.tab(pages["one"]) as (tab, _):
        tab.look(width=1366)
        assert tab.evaluate(shown).startswith("http://h0.test/") and tab.evaluate(drawn) == "none"
        tab.look(width=400)
        assert tab.evaluate(shown).startswith("/") and tab.evaluate(note) == "On http://h0.test:"
    with browser.tab(pages["many"]) as (tab, _):
        tab.look(width=400)
        whole = "[...document.querySelectorAll('#urls a.url')].some(one => one.innerText.startsWith('http://h'))"
        assert tab.evaluate(whole), "tables of several hosts need the host"


def test_a_table_that_scrolls_has_a_shade_at_its_edge(browser: Chromium, pages: dict[str, Path]) -> None:
    with browser.tab(pages["many"]) as (tab, _):
        tab.look(width=400)
        wide, shade = tab.evaluate(
            "(one => [one.scrollWidth > one.clientWidth, getComputedStyle(one).backgroundImage])"
            "(document.querySelector('#hosts .scroll'))"
        )
        assert wide and shade.count("linear-gradient") == 4


@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing(browser: Chromium, pages: dict[str, Path], name: str) -> None:
    library = axe()
    if library is None:
        pytest.skip("no axe-core on this machine: npm install --global axe-core")
    for width, dark in LOOKS if name == "many" else FEWER:
        with browser.tab(pages[name]) as (tab, _):
            tab.look(width=width, dark=dark)
            assert tab.violations(library) == []
