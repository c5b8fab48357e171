"""Traps and ordinary sites in one crawl, in every mode: each trap ends within its bound, no ordinary page is missed.

The smallest budgets, so that ordinary sites exceed them; `python -m tests.live.trap_sites` has the large web.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import variants
from crawler.core.traps.doubts import TRIALS
from tests.corpus import cases
from tests.live.trap_sites import TrapWeb, crawled
from tests.trap_web import HONEST, NOTES, SESSION_PAGES, TRAPS

PATTERN = 400
SITES = dict.fromkeys(HONEST, 60) | {"shop-large": PATTERN + 150, "months-large": PATTERN + 150}
LIMITS = {"pattern_pages": PATTERN, "max_path_segments": 8, "max_pages": 20_000}
IN_FLIGHT = 16
BOUNDS = {
    "calendar": 2 * PATTERN + IN_FLIGHT + NOTES + 1,  # with two processes each has a budget of this size
    "calendar-in-path": 2 * PATTERN + IN_FLIGHT + 1,
    "sessions": SESSION_PAGES * 20,  # no key is known by its name; requests needed to learn that none matters
    "unknown-sessions": 2 * PATTERN + IN_FLIGHT + 1,
    "deep-path": 9,
    "relative-loop": 200,
    "param-junk": 21,
    "long-url": 14,
    "redirects": 11,
    "honeypot": 1,
    "cookie": 1,
    "case-slash": 5,  # and the root
    "insists": 6,
}


NAMES = {"session_query": "sessions", "infinite_redirect": "redirects", "hidden_honeypot": "honeypot"} | {
    "content_neg_cookie": "cookie"
}
ELSEWHERE = {"link_farm", "tarpit_slow"}  # a matter of addresses; of time


def test_every_trap_of_the_corpus_has_a_site() -> None:
    names = {case["id"] for case in cases("traps/traps")}
    assert {NAMES.get(name, name.replace("_", "-")) for name in names - ELSEWHERE} <= set(TRAPS)


def test_a_crawl_resumed_in_other_modes_does_not_reset_its_budgets(tmp_path: Path) -> None:
    with TrapWeb({}) as web:
        seeds = [f"http://{name}.trap/" for name in ("calendar", "unknown-sessions")]
        for run, mode in enumerate(("async", "threads", "prefork", "processes", "prefork", "async") * 2, 1):
            found = crawled(web, mode, tmp_path / "c", **LIMITS | {"max_pages": 150 * run, "seeds": seeds})
            if found.complete:
                break
    assert found.complete, "the crawl did not end by itself"
    months = found.reasons["calendar"]["ok"] - NOTES - 1
    sessions = found.reasons["unknown-sessions"]["ok"]
    assert 200 <= months <= BOUNDS["calendar"]
    assert TRIALS <= sessions <= BOUNDS["unknown-sessions"]


@pytest.mark.parametrize("mode", variants.names())
def test_traps_end_and_ordinary_sites_are_complete(mode: str, tmp_path: Path) -> None:
    with TrapWeb(SITES) as web:
        found = crawled(web, mode, tmp_path / "c", concurrency=IN_FLIGHT, **LIMITS)
    assert found.complete, "the crawl did not end by itself"
    assert (found.missed, dict(found.false_stops), found.honeypot) == ({}, {}, [])
    assert {name: count for name, count in found.requests.items() if count > BOUNDS[name]} == {}
    for name, reason in (
        ("calendar", "repeated_pages"),
        ("unknown-sessions", "repeated_pages"),
        ("deep-path", "deep_path"),
        ("relative-loop", "repeated_path"),
        ("param-junk", "many_keys"),
        ("redirects", "redirect_limit"),
        ("cookie", "redirect_loop"),
        ("honeypot", "robots"),
    ):
        assert reason in found.reasons[name]
    assert found.reasons["calendar"]["ok"] >= NOTES, "pages next to a trap are missing"
    assert found.reasons["insists"]["ok"] == 3
