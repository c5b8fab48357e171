"""The faults of one trial: a pure function of its seed.

A trial is a crawl of a small web, some of whose hosts are faulty for a while (`Window`). Either all faults end within
`patience`, counted from the first fault of a host to the end of its last one, and the crawl must end complete; or some
hosts stay faulty until the test heals them, and the crawl must name the URLs that it missed.
"""

from __future__ import annotations

import random
from math import inf
from typing import Literal, NamedTuple

import variants
from crawler.testweb.parameters import REAL, Parameters
from crawler.testweb.profile_web import ProfileWeb

Kind = Literal["refuse", "503", "500", "reset at accept", "reset in head", "reset in body", "empty", "silent", "memory"]
"""What a faulty host does. refuse: no process listens (a restart) · 503, 500: it answers so · reset: RST at that place
· empty: it closes without an answer · silent: it never answers · memory: it answers 500 or resets, then it restarts."""
KINDS: tuple[Kind, ...] = (
    *("refuse", "503", "500", "reset at accept", "reset in head", "reset in body", "empty", "silent", "memory"),
)
STORES = ("sqlite", "files")
LONGEST = 3.5
"""Seconds from the beginning of the first fault of a host to the end of its last, where they end."""
PATIENCE, IMPATIENCE = 12.0, 2.0

CALM: dict[str, float] = {
    **{"errors": 0, "sick": 0, "robots_failing": 0, "robots_silent": 0, "crawl_delays": 0, "late": 0, "loops": 0},
    **{"latency": 0.005, "size_scale": 0.05, "more_hops": 0},
}
"""A web that has answers of all kinds and no faults of its own."""


class Window(NamedTuple):
    """A host is faulty from `start` to `end`, in seconds after the crawl began; its robots.txt too, or only pages."""

    start: float
    end: float
    kind: Kind
    robots: bool = True


Windows = dict[str, tuple[Window, ...]]


class Plan(NamedTuple):
    """One trial. `seeds` is how many hosts are seeds; all others are found by links."""

    seed: int
    numbers: Parameters
    seeds: int
    mode: str
    store: str
    delay: float
    patience: float
    windows: Windows

    @property
    def web(self) -> ProfileWeb:
        """The web without faults."""
        web = ProfileWeb(self.seed, self.numbers, "outage.test")
        web.seeds = web.seeds[: self.seeds]
        return web

    @property
    def heals(self) -> bool:
        """All faults end within the patience."""
        return all(one.end < inf for windows in self.windows.values() for one in windows)

    def __str__(self) -> str:
        parts = [f"{host.partition('.')[0]} {_say(windows)}" for host, windows in self.windows.items()]
        return f"seed {self.seed}: {self.mode}, {self.store}, {self.seeds} seeds, {'; '.join(parts)}"


def plan(seed: int) -> Plan:
    """The trial of that number."""
    dice = random.Random(seed)
    numbers = REAL.scaled(hosts=dice.randint(2, 7), pages=dice.randint(30, 90), **CALM)
    names = ProfileWeb(seed, numbers, "outage.test").names
    lasting = dice.random() < 0.3
    faulty = dice.sample(names, min(len(names), dice.choice([1, 1, 1, 2, 2, 3, len(names)])))
    windows = {host: _windows(dice, last=lasting and number == 0) for number, host in enumerate(faulty)}
    return Plan(
        seed=seed,
        numbers=numbers,
        seeds=len(names) if dice.random() < 0.6 else dice.randint(1, len(names)),
        mode=variants.names()[seed % len(variants.names())],
        store=STORES[seed // len(variants.names()) % len(STORES)],
        delay=dice.choice([0.0, 0.02, 0.05]),
        patience=IMPATIENCE if lasting else PATIENCE,
        windows=windows,
    )


def _windows(dice: random.Random, *, last: bool) -> tuple[Window, ...]:
    """The faults of one host; the `last` of them may stay."""
    at = dice.choice([0.0, 0.0, dice.uniform(0.05, 1.0)])
    count = dice.choice([1, 1, 1, 2, 3])
    found: list[Window] = []
    for number in range(count):
        length = dice.uniform(0.2, (LONGEST if count == 1 else LONGEST / count) - 0.2)
        kind = dice.choice(KINDS)
        stays = last and number == count - 1
        found.append(Window(at, inf if stays else at + length, kind, robots=dice.random() < 0.7))
        at += length + 0.2
    return tuple(found)


def _say(windows: tuple[Window, ...]) -> str:
    return ", ".join(f"{one.kind}{'' if one.robots else ' (pages)'} {one.start:.1f}-{one.end:.1f} s" for one in windows)
