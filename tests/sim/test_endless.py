"""Traps end within their bounds and ordinary sites are crawled completely, on sites that are pure functions.

`python -m tests.sim.test_endless [--seeds N]` plays all of them in several sizes and prints a table.
"""

from __future__ import annotations

import argparse

import pytest

from crawler.core.traps.detector import TOLD
from tests.endless_play import Play, Played, play
from tests.endless_web import HONEST, TRAPS, Made

MANY = 12_000
SIZES = {"session-menu": 40, "relative-menu": 7, "menu-echo": 5, "facets-path": 20}
MADE = [Made(1, 20, 20), Made(3, 130, 60)]
"""Sizes of traps; a few have their own in SIZES."""
WIDE = {"wildcard": "domain"}


def bound(played: Played) -> int:
    """The most requests that a trap may get."""
    return max(1000, 20 * played.distinct)


def trap(name: str, made: Made) -> Played:
    """Play a trap."""
    made = made._replace(size=min(made.size, SIZES.get(name, made.size)))
    return play(TRAPS[name], made, MANY, scope=WIDE.get(name, "host"))


@pytest.mark.parametrize("made", MADE, ids=str)
@pytest.mark.parametrize("name", [name for name in TRAPS if not name.startswith("facets")])
def test_a_trap_ends_and_its_content_is_found(name: str, made: Made) -> None:
    played = trap(name, made)
    assert played.requests <= bound(played)
    assert played.found >= 0.95
    assert set(played.reasons) & {"same_pages", "repeated_pages", "endless"}
    assert played.details, "a stop has no explanation"


@pytest.mark.parametrize("name", ["facets", "facets-echo"])
def test_each_combination_of_filters_is_fetched_in_one_order(name: str) -> None:
    played = trap(name, MADE[0])
    assert played.requests <= 256 * 1.5
    assert played.found == 1.0
    assert played.reasons["same_pages"] > 500


@pytest.mark.parametrize("name", HONEST)
def test_an_ordinary_site_is_crawled_completely(name: str) -> None:
    played = play(HONEST[name], Made(4, 480, 8), MANY, pattern_pages=400)
    assert played.found == 1.0
    assert "same_pages" not in played.reasons
    assert played.requests < MANY


@pytest.mark.parametrize("name", ["gallery", "gallery-alike", "directories"])
def test_a_large_ordinary_site_is_crawled_completely(name: str) -> None:
    played = play(HONEST[name], Made(5, 2000, 3), MANY)
    assert played.found == 1.0


@pytest.mark.parametrize("name", ["session-path", "soft-404", "soft-404-echo", "calendar", "markov", "wildcard"])
def test_kills_do_not_reset_the_budget_of_a_trap(name: str) -> None:
    crawl = Play(TRAPS[name], Made(6, 30, 12), scope=WIDE.get(name, "host"))
    lives = 1
    while not crawl.run(130):
        lives += 1
        assert lives < 40, "the crawl does not end"
    played = crawl.outcome()
    assert played.requests <= bound(played) + lives * (TOLD + crawl.rules.per_host)
    assert played.found >= 0.95


def test_the_limits_can_be_raised_by_settings() -> None:
    lifted = 10**9
    for name in ("session-path", "soft-404", "calendar", "markov"):
        played = play(TRAPS[name], MADE[0], 2000, pattern_pages=lifted, merge_same_pages=False)
        assert played.requests == 2000
        assert not set(played.reasons) & {"same_pages", "repeated_pages", "endless"}


@pytest.mark.parametrize("size", [50, 400])
def test_pages_whose_parameters_are_named_like_sessions_are_not_merged(size: int) -> None:
    for name in ("sid-stories", "uuids"):
        assert play(HONEST[name], Made(7, size, 10), MANY).found == 1.0


def main() -> None:
    """Play all sites and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--size", type=int, default=3000, help="pages of the ordinary sites")
    chosen = parser.parse_args()
    for seed in range(chosen.seeds):
        for made in MADE:
            for name in TRAPS:
                played = trap(name, made._replace(seed=made.seed + 10 * seed))
                verdict = "" if played.requests <= bound(played) and played.found >= 0.95 else "  <---"
                print(
                    f"{name:16} {made} {played.requests:6} of {bound(played):6} {played.found:.1%}{verdict}", flush=True
                )
        for name in HONEST:
            played = play(HONEST[name], Made(seed, chosen.size, 3 + 20 * seed), 5 * chosen.size)
            verdict = "" if played.found == 1.0 else "  <---"
            print(f"{name:16} {played.requests:6} {played.found:.2%} {dict(played.reasons)}{verdict}", flush=True)


if __name__ == "__main__":
    main()
