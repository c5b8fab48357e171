"""Many nights of a site that changes at random: the diff of each night is what a model of the site says.

The model knows, of each page, the last certain state that a crawl saw: a version of it, a redirect, or that it is gone.
Trouble is not certain, so it changes nothing.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import crawler
from crawler.storage.diff import GenerationDiff, diff
from tests.contract.changing_site import ChangingSite, changing_site, page
from tests.contract.recrawls import FAST, check

PAGES, NIGHTS = 14, 5
GONE, MOVED, TROUBLE = "gone", "moved", "trouble"
State = int | str
"""The version of a page, or why there is none."""


class Expected(NamedTuple):
    """The changes of one night."""

    new: set[str]
    gone: set[str]
    changed: set[str]
    moved: set[str]
    uncertain: set[str]


class Model:
    """The site, and what was last certain of it."""

    def __init__(self, site: ChangingSite, seed: int) -> None:
        self._site = site
        self._dice = random.Random(seed)
        self._states: dict[str, State] = {f"/{number}": 0 for number in range(PAGES)}
        self._certain: dict[str, State | None] = dict(self._states)
        self._lay_out()

    def night(self) -> Expected:
        """Change the site; returns what a re-crawl must find."""
        expected = Expected(set(), set(), set(), set(), set())
        for path, state in self._states.items():
            self._states[path] = now = self._next(state)
            kind = self._kind_of_change(self._certain[path], now)
            if kind:
                getattr(expected, kind).add(self._site.at(path))
            if now != TROUBLE:
                self._certain[path] = now
        self._lay_out()
        return expected

    def _next(self, state: State) -> State:
        toss = self._dice.random()
        if toss < 0.5:
            return state
        if toss < 0.75:
            return self._dice.randrange(1_000_000)
        return GONE if toss < 0.85 else MOVED if toss < 0.92 else TROUBLE

    @staticmethod
    def _kind_of_change(before: State | None, now: State) -> str:
        if now == before:
            return ""
        if now == TROUBLE:
            return "" if before == GONE else "uncertain"
        if now == GONE:
            return "gone"
        if now == MOVED:
            return "moved" if isinstance(before, int) else ""
        return "new" if before == GONE else "changed"

    def _lay_out(self) -> None:
        self._site.moved = {path: "/" for path, state in self._states.items() if state == MOVED}
        self._site.pages = {
            path: page(f"version {state}", "/") if isinstance(state, int) else 404 if state == GONE else 500
            for path, state in self._states.items()
        }
        self._site.pages["/"] = page("home", *self._states)


def found(changes: GenerationDiff) -> Expected:
    return Expected(
        set(changes.new),
        {one.url for one in changes.gone},
        {one.url for one in changes.changed},
        {one.url for one in changes.moved},
        {one.url for one in changes.uncertain},
    )


def test_the_diff_of_every_night_is_that_of_the_model(tmp_path: Path) -> None:
    with changing_site({}) as site:
        model = Model(site, seed=2)
        crawler.crawl(site.url, out=tmp_path / "c", **FAST | {"attempts": 1})
        for night in range(1, NIGHTS + 1):
            expected = model.night()
            crawler.recrawl(tmp_path / "c")
            assert found(diff(tmp_path / "c")) == expected, night
        for night in range(NIGHTS + 1):
            check(tmp_path / "c", night)
