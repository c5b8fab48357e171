"""The report in a real browser with the network off: it asks for nothing, raises nothing, fits, and everyone can read
it.

Without Chromium these tests are skipped. The check of accessibility also needs axe-core (MPL-2.0, so not kept here):
`npm install --global axe-core`, or its `axe.min.js` named by the environment variable AXE_CORE.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.compare import report
from crawler.compare.records import Arm
from tests.chromium import Chromium, axe, chromium, executable
from tests.contract import comparisons

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium on this machine")

WIDTHS = (1366, 1001, 820, 390)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a session that has every figure."""
    folder = tmp_path_factory.mktemp("session")
    plan = comparisons.session("standard")
    comparisons.write(folder, plan, comparisons.trials(plan))
    report.write(folder)
    return folder / "report.html"


def test_it_asks_for_nothing_and_raises_nothing(browser: Chromium, page: Path) -> None:
    with browser.tab(page) as (tab, seen):
        assert tab.evaluate("document.querySelectorAll('figure').length") >= 10
        tab.look(width=390, dark=True)
        tab.picture()
    assert seen.requests == [] and seen.errors == []


def test_the_watch_over_requests_and_errors_works(browser: Chromium, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<!doctype html><img src='http://127.0.0.1:9/x.png'><script>nowhere()</script>")
    with browser.tab(bad) as (tab, seen):
        tab.evaluate("0")
    assert "http://127.0.0.1:9/x.png" in seen.requests
    assert any("nowhere" in error for error in seen.errors)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(browser: Chromium, page: Path, width: int) -> None:
    with browser.tab(page) as (tab, _):
        tab.look(width=width)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate("[...document.querySelectorAll('svg.chart')].every(one => {"
                            " const at = one.getBoundingClientRect(); return at.right <= innerWidth; })")  # fmt: skip


def test_print_shows_all_of_the_summary(browser: Chromium, page: Path) -> None:
    with browser.tab(page) as (tab, _):
        tab.look(width=718, height=1000, media="print")
        assert tab.evaluate("(one => one.scrollWidth - one.clientWidth)(document.querySelector('.summary'))") == 0
        assert "grayscale" in tab.evaluate("getComputedStyle(document.querySelector('figure svg.chart')).filter")


def test_the_first_screen_of_a_laptop_holds_the_summary(browser: Chromium, page: Path) -> None:
    with browser.tab(page) as (tab, _):
        table, last = tab.evaluate(
            "[document.querySelector('.summary'), document.querySelector('.findings')]"
            ".map(one => [one.scrollWidth - one.clientWidth, one.getBoundingClientRect().bottom])"
        )
    assert table[0] == 0
    assert last[1] <= 900


def test_it_can_be_read_with_scripts_off(browser: Chromium, page: Path) -> None:
    with browser.tab(page, scripts=False) as (tab, seen):
        hidden = tab.evaluate(
            "[...document.querySelectorAll('figure')].filter(one => one.querySelector('h3').offsetHeight === 0 ||"
            " ![...one.querySelectorAll('svg, :scope > .scroll, summary')]"
            ".some(part => part.getBoundingClientRect().height > 10)).length"
        )
        assert hidden == 0
        assert tab.evaluate("document.querySelector('details').open = true, "
                            "document.querySelector('details table').offsetHeight") > 0  # fmt: skip
    assert seen.errors == []


def test_the_calculator_answers_while_one_types(browser: Chromium, page: Path) -> None:
    with browser.tab(page) as (tab, seen):
        before, after, wrong = tab.evaluate(
            "(() => { const form = document.querySelector('.calculator'), field = form.querySelector('[name=delay]');"
            " const show = (value) => { field.value = value; field.dispatchEvent(new Event('input'));"
            "  return [form.hidden, form.querySelector('output').textContent,"
            "   [...form.querySelectorAll('tbody tr')].map(row => row.lastChild.textContent)]; };"
            " return [show('0'), show('10'), show('')]; })()"
        )
    assert not before[0] and len(before[2]) == 4 and "politeness: hosts and delay" not in before[2]
    assert after[2] == ["politeness: hosts and delay"] * 4 and "cannot be told from it" in after[1]
    assert wrong[2] == [] and wrong[1].endswith("a number from 0 to 3600")
    assert seen.requests == [] and seen.errors == []


def test_no_name_becomes_a_script(browser: Chromium, tmp_path: Path) -> None:
    hostile = "</script><script>window.taken = 1</script><img src='http://127.0.0.1:9/x' onerror='window.taken = 1'>"
    arms = (Arm(hostile, "async", hostile), Arm("threads", "threads", "curl"), Arm("again", "async", "x", hostile))
    plan = comparisons.session("quick", arms=arms, command=hostile)
    comparisons.write(tmp_path, plan, comparisons.trials(plan, invalid=False))
    report.write(tmp_path)
    with browser.tab(tmp_path / "report.html") as (tab, seen):
        assert tab.evaluate("[window.taken === undefined, document.images.length]") == [True, 0]
    assert seen.requests == [] and seen.errors == []


@pytest.mark.parametrize(("width", "dark"), [(1366, False), (1366, True), (390, False)])
def test_axe_finds_nothing(browser: Chromium, page: Path, width: int, dark: bool) -> None:
    library = axe()
    if library is None:
        pytest.skip("no axe-core on this machine: npm install --global axe-core")
    with browser.tab(page) as (tab, _):
        tab.look(width=width, dark=dark)
        tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        told = tab.violations(library)
    assert told == []
