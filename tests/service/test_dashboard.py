"""The dashboard in a real browser, over a real service: log in, start, watch, stop, schedule; by keyboard alone,
without scripts, at every width, light and dark; and what axe-core has to object.

Without Chromium these tests are skipped; without axe-core, those that need it (see tests/chromium.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.chromium import Chromium, Seen, Tab, axe, chromium, executable
from tests.contract.changing_site import changing_site, page
from tests.service.served import ADMIN, Served

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium on this machine")

SMALL = {"profile": "demo", "max_pages": 12}
LONG = {"profile": "demo", "delay": 0.3, "mode": "threads"}
FOCUSED = "document.activeElement"
REFUSED_AT_FIRST = "401"  # the browser notes that the first page came with this status


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pages(served: Served, browser: Chromium) -> list[str]:
    """Every page, with something on it; the browser is logged in."""
    job = served.ask("POST", "/api/v1/jobs", {"name": "small", "settings": SMALL, "tags": ["shop"]}).json
    schedule = served.ask("POST", "/api/v1/schedules", {"job": "small", "cron": "0 3 * * *"}).json["id"]
    begun = served.ask("POST", "/api/v1/jobs/small/runs").json
    served.until(f"/api/v1/runs/{begun['id']}", lambda now: now["ended_at"] is not None)
    changes = pages_of_changes(served)
    with browser.visit(f"{served.url}/login") as (tab, _):
        log_in(tab, served)
    paths = ["/", "/jobs", "/jobs/new", f"/jobs/{job['id']}", "/runs", f"/runs/{begun['id']}", "/schedules"]
    paths += [f"/schedules/{schedule}", *changes]
    return [*paths, "/hosts", "/compare", "/storage", "/tokens", "/nowhere"]


def pages_of_changes(served: Served) -> list[str]:
    """The pages of a job that has crawled a site twice, of what changed, and of the text of a page."""
    with changing_site({"/": page("home", "/a", "/b"), "/a": page("a"), "/b": page("b")}) as site:
        settings = {"seeds": [site.url], "delay": 0, "report": False}
        spec = {"name": "again", "settings": settings, "recrawl": True}
        job = served.ask("POST", "/api/v1/jobs", spec).json["id"]
        for _ in range(2):
            run = served.ask("POST", f"/api/v1/jobs/{job}/runs").json["id"]
            served.until(f"/api/v1/runs/{run}", lambda now: now["ended_at"] is not None)
            site.pages |= {"/a": page("edited"), "/b": 404, "/": page("home", "/a", "/b", "/c"), "/c": page("c")}
        changed = f"/runs/{run}/diff"
        return [f"/jobs/{job}", changed, f"{changed}?text={quote(site.at('/a'))}"]


def log_in(tab: Tab, served: Served) -> None:
    tab.evaluate("document.getElementById('f-token').focus()")
    tab.write(served.tokens[ADMIN])
    tab.press("Enter")
    tab.wait("!location.pathname.startsWith('/login') && document.readyState === 'complete'")


def errors(seen: Seen) -> list[str]:
    return [one for one in seen.errors if REFUSED_AT_FIRST not in one]


def reach(tab: Tab, wanted: str) -> None:
    """Press Tab until the focus is where an expression of `it` says. Fails where it never gets there."""
    for _ in range(80):
        tab.press("Tab")
        if tab.evaluate(f"(it => it !== document.body && ({wanted}))({FOCUSED})"):
            return
    raise AssertionError(f"the keyboard does not get to {wanted}")


def number(tile: str) -> str:
    return (
        "Number([...document.querySelectorAll('.tiles div')]"
        f".find(one => one.querySelector('span').textContent === '{tile}').querySelector('b').textContent"
        ".replace(',', ''))"
    )


def test_by_keyboard_alone_a_job_is_added_watched_paused_and_stopped(served: Served, browser: Chromium) -> None:
    with browser.visit(f"{served.url}/jobs/new") as (tab, seen):
        log_in(tab, served)
        reach(tab, "it.name === 'name'")
        tab.press("Tab")
        tab.evaluate("document.getElementById('f-name').select()")
        tab.evaluate("document.getElementById('f-name').focus()")
        tab.write("watched")
        reach(tab, "it.name === 'profile'")
        tab.evaluate(f"{FOCUSED}.value = 'demo'")
        reach(tab, "it.name === 'settings'")
        tab.write("delay = 0.3")
        reach(tab, "it.textContent === 'Add and start'")
        tab.press("Enter")
        tab.wait("location.pathname.startsWith('/runs/')")
        tab.wait("document.querySelector('.badge').textContent.includes('running')")
        tab.evaluate("window.notReloaded = true")
        tab.wait(f"{number('URLs fetched')} > 0")
        tab.wait("document.querySelectorAll('.curves svg').length === 4")
        tab.wait("document.querySelector('#connection').textContent.includes('updates itself')")
        assert tab.evaluate("window.notReloaded")
        reach(tab, "it.textContent.startsWith('Pause')")
        tab.press("Enter")
        tab.wait("document.querySelector('.badge').textContent.includes('paused')")
        reach(tab, "it.textContent.startsWith('Resume')")
        tab.press("Enter")
        tab.wait("document.querySelector('.badge').textContent.includes('running')")
        reach(tab, "it.textContent.startsWith('Stop')")
        tab.press("Enter")
        tab.wait("document.querySelector('.badge').textContent.includes('cancelled')")
        tab.wait("[...document.querySelectorAll('h2')].some(one => one.textContent === 'How URLs ended')")
    assert errors(seen) == []
    assert all(url.startswith(served.url) for url in seen.requests)


def test_the_overview_follows_a_run_that_somebody_else_starts(
    served: Served, browser: Chromium, pages: list[str]
) -> None:
    job = served.ask("POST", "/api/v1/jobs", {"name": "long", "settings": LONG}).json
    with browser.visit(f"{served.url}/") as (tab, seen):
        tab.wait("document.querySelector('#connection').textContent.includes('updates itself')")
        run = served.ask("POST", f"/api/v1/jobs/{job['id']}/runs").json["id"]
        tab.wait(f"document.querySelector('#run-{run} progress')")
        tab.wait(f"document.querySelector('#run-{run} .spark')")
        where = f"[...document.querySelectorAll('#run-{run} dd')].map(one => one.getBoundingClientRect().left)"
        before = tab.evaluate(where)
        fetched = tab.evaluate(f"document.querySelector('#run-{run} dd:nth-of-type(1)') && 1")
        assert fetched
        tab.evaluate(f"document.querySelector('#run-{run} form button').focus()")
        shown = tab.evaluate(f"document.querySelector('#run-{run} [data-say]').textContent")
        tab.wait(f"document.querySelector('#run-{run} [data-say]').textContent !== {shown!r}")
        assert tab.evaluate(where) == before, "numbers move"
        assert tab.evaluate(f"{FOCUSED}.textContent.startsWith('Pause')"), "the focus is lost"
        tab.press("Enter")
        tab.wait(f"document.querySelector('#run-{run} .badge').textContent.includes('paused')")
        tab.wait("document.querySelector('#spoken').textContent.includes('paused')")
        assert tab.evaluate(f"document.querySelector('#run-{run}').contains({FOCUSED})")
        served.ask("POST", f"/api/v1/runs/{run}/cancel", {"force": True})
        tab.wait(f"!document.querySelector('#run-{run}')")
    assert errors(seen) == []


def test_a_schedule_is_added_and_removed(served: Served, browser: Chromium, pages: list[str]) -> None:
    with browser.visit(f"{served.url}/schedules") as (tab, seen):
        tab.evaluate("document.getElementById('f-cron').focus()")
        tab.write("61 * * * *")
        tab.press("Enter")
        tab.wait("document.querySelector('#f-cron[aria-invalid=true]') && document.readyState === 'complete'")
        tab.evaluate("document.getElementById('f-cron').select()")
        tab.write("5 5 * * *")
        tab.press("Enter")
        tab.wait("document.querySelectorAll('.schedule').length === 2")
        card = "[...document.querySelectorAll('.schedule')].find(one => one.textContent.includes('5 5 * * *'))"
        tab.evaluate(f"{card}.querySelector('details').open = true")
        assert tab.evaluate(f"{card}.querySelectorAll('details[open] li').length") == 10
        tab.evaluate(f"[...{card}.querySelectorAll('button')].at(-1).click()")
        tab.wait("document.querySelectorAll('.schedule').length === 1")
    assert [one for one in errors(seen) if "422" not in one] == []


def test_it_can_be_read_and_used_with_scripts_off(served: Served, browser: Chromium, pages: list[str]) -> None:
    with browser.visit(f"{served.url}/", scripts=False) as (tab, seen):
        for path in pages[:4]:
            tab.go(served.url + path)
            assert tab.evaluate("document.querySelector('main').innerText.length") > 40, path
        tab.go(f"{served.url}/jobs")
        tab.evaluate("[...document.querySelectorAll('tr')].find(row => row.innerText.includes('shop'))"
                     ".querySelector('button').click()")  # fmt: skip
        tab.wait("location.pathname.startsWith('/runs/') && document.querySelector('.badge')")
        run = tab.evaluate("location.pathname").rpartition("/")[2]
    served.ask("POST", f"/api/v1/runs/{run}/cancel", {"force": True})
    assert errors(seen) == []


def test_no_page_is_wider_than_its_window(served: Served, browser: Chromium, pages: list[str]) -> None:
    wide = []
    with browser.visit(f"{served.url}/login") as (tab, seen):
        for path in pages:
            tab.go(served.url + path)
            tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            for width in (1366, 820, 400, 320):
                tab.look(width=width)
                if (found := tab.evaluate("document.documentElement.scrollWidth")) > width:
                    wide.append((path, width, found))
    assert wide == []
    assert [one for one in errors(seen) if "404" not in one] == []


@pytest.mark.slow
def test_axe_finds_nothing(served: Served, browser: Chromium, pages: list[str]) -> None:
    library = axe()
    if library is None:
        pytest.skip("no axe-core on this machine: npm install --global axe-core")
    found: dict[str, Any] = {}
    with browser.visit(f"{served.url}/login") as (tab, _):
        for path in ["/login", *pages]:
            tab.go(served.url + path)
            tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            for width, dark in ((1366, False), (400, True)):
                tab.look(width=width, dark=dark)
                if told := tab.violations(library):
                    found[f"{path} {width}"] = told
    assert found == {}


def test_motion_is_reduced_where_people_ask_for_it(served: Served, browser: Chromium, pages: list[str]) -> None:
    with browser.visit(f"{served.url}/") as (tab, _):
        wanted = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        tab.call("Emulation.setEmulatedMedia", features=wanted)
        moving = "[...document.querySelectorAll('*')].filter(one => getComputedStyle(one).animationName !== 'none')"
        assert tab.evaluate(f"{moving}.length") == 0
