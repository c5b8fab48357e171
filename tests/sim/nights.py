"""A site that changes by Poisson processes, re-crawled each virtual night over loopback, beside an oracle.

Every night the diff must say what the oracle says: which of the pages that were asked for had changed, and that no page
is new, gone or unknown. The oracle sees only the requests that reached the server, and the versions that it served.
"""

from __future__ import annotations

import random
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec

import crawler
from crawler.storage.diff import diff
from tests.contract.changing_site import DATES, LIES, NONE, TAGS, ChangingSite, changing_site, page
from tests.contract.virtual_clock import DAY, VirtualClock, virtual_clock

RATES = (0.0, 0.0, 0.05, 0.3, 3.0)
"""Changes per day of the pages, in turn."""
VALIDATORS = {"tags and dates": TAGS, "dates": DATES, "no validators": NONE, "lies about its ETag": LIES}
EVERY_REQUEST = "changes on every request"
DOWN = "down for two nights"
SERVERS = (*VALIDATORS, EVERY_REQUEST, DOWN)
DOWN_AT = (3, 4)
FAST: dict[str, Any] = {
    "delay": 0.0,
    "per_host": 8,
    "attempts": 1,
    "host_patience": 0.0,
    "report": False,
    "robots": False,
}


class Played(msgspec.Struct):
    """What all nights took, and the share of fresh copies over them. `wrong`: where a diff and the oracle differ."""

    requests: int = 0
    bytes: int = 0
    freshness: float = 0.0
    wrong: list[str] = msgspec.field(default_factory=list)


class Nights:
    """Plays nights with one server, and compares each diff."""

    def __init__(self, site: ChangingSite, server: str, pages: int, clock: VirtualClock, seed: int) -> None:
        self._site = site
        self._server = server
        self._clock = clock
        self._draw = random.Random(seed)
        self._paths = [f"/page{number}" for number in range(pages)]
        self._rates = {path: RATES[number % len(RATES)] for number, path in enumerate(self._paths)}
        self._versions = dict.fromkeys(self._paths, 0)
        self._copies = dict.fromkeys(self._paths, 0)
        self._changed_at = {path: clock.now - self._gap(path) for path in self._paths}
        self._next_at = {path: clock.now + self._gap(path) for path in self._paths}
        site.validators = VALIDATORS.get(server, TAGS)
        site.pages["/"] = page("home", *(path.removeprefix("/") for path in self._paths))
        site.dates["/"] = formatdate(clock.now - 100 * DAY, usegmt=True)
        for path in self._paths:
            self._publish(path)

    def play(self, out: Path, nights: int, **keys: Any) -> Played:
        """A first crawl, then so many nights."""
        crawler.crawl(self._site.url, out=out, **FAST, **keys)
        self._site.take_asked()
        played = Played()
        fresh = []
        for night in range(1, nights + 1):
            fresh.append(self._pass_day())
            self._site.down = self._server == DOWN and night in DOWN_AT
            crawler.recrawl(out)
            played.bytes += self._site.sent
            asked = self._site.take_asked()
            played.requests += len(asked)
            expected = self._expected({path: one.conditional for path, one in asked.items()})
            played.wrong += [f"night {night}: {word}" for word in self._compare(out, expected, set(asked))]
        played.freshness = sum(fresh) / len(fresh)
        return played

    def _pass_day(self) -> float:
        """Let a day pass; returns the share of fresh copies, averaged over it."""
        begin, fresh = self._clock.now, 0.0
        self._clock.pass_days(1)
        for path in self._paths:
            stale_from = begin if self._copies[path] != self._versions[path] else self._next_at[path]
            fresh += min(max(stale_from - begin, 0.0), DAY) / DAY
            while self._next_at[path] <= self._clock.now:
                self._versions[path] += 1
                self._changed_at[path] = self._next_at[path]
                self._next_at[path] += self._gap(path)
            self._publish(path)
        return fresh / len(self._paths)

    def _gap(self, path: str) -> float:
        return self._draw.expovariate(self._rates[path] / DAY) if self._rates[path] else 1000 * DAY

    def _publish(self, path: str) -> None:
        if self._server == EVERY_REQUEST and path == self._paths[0]:
            self._site.pages[path] = self._another
            return
        self._site.pages[path] = page(f"{path} version {self._versions[path]}", "/")
        self._site.dates[path] = formatdate(self._changed_at[path], usegmt=True)

    def _another(self) -> bytes:
        self._versions[self._paths[0]] += 1
        return page(f"version {self._versions[self._paths[0]]}", "/")

    def _expected(self, asked: dict[str, bool]) -> set[str]:
        """The pages that changed for a crawler which asked for these, conditionally or not."""
        changed = set()
        for path, conditional in asked.items():
            believed = self._server == "lies about its ETag" and conditional
            if path == "/" or believed or self._site.down or self._versions[path] == self._copies[path]:
                continue
            changed.add(path)
            self._copies[path] = self._versions[path]
        return changed

    def _compare(self, out: Path, expected: set[str], asked: set[str]) -> list[str]:
        found = diff(out)
        changed = {one.url.removeprefix(self._site.url.rstrip("/")) for one in found.changed}
        wrong = [f"{path} is wrongly told or not told as changed" for path in sorted(changed ^ expected)]
        if found.new or found.gone or found.moved:
            wrong.append(f"new {found.new}, gone {found.gone}, moved {found.moved}")
        if self._site.down:
            return wrong
        if found.uncertain and found.older + 1 == found.newer:
            wrong.append(f"uncertain {found.uncertain}")
        told = len(found.changed) + found.unchanged.pages + found.not_asked
        if told != len(self._paths) + 1 or found.not_asked != len(self._paths) + 1 - len(asked):
            wrong.append(f"{told} pages told, {found.not_asked} of them as not asked; asked were {len(asked)}")
        return wrong


def play(server: str, out: Path, pages: int, nights: int, seed: int = 0, **keys: Any) -> Played:
    """Play so many nights with one of SERVERS, in a directory that does not exist."""
    with virtual_clock() as clock, changing_site({}) as site:
        return Nights(site, server, pages, clock, seed).play(out, nights, **keys)
