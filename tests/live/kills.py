"""Kills real crawls, resumes them, and checks them with the oracle and the server's log: `python -m tests.live.kills
--help`.

A campaign kills one kind of victim at random moments of a crawl of the demo web, from the command line, resuming after
each kill (in the next mode of the list), until the count is reached; a crawl that completes earlier is followed by
another. No process of a killed session may survive the kill by more than 5 s. At the end of each crawl the invariants
of `tests.faults.invariants` must hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import msgspec

import variants
from crawler.testweb.settings import to_toml
from tests.faults.crawlers import Crawler
from tests.faults.invariants import Truth

Strike = Callable[["Crawler"], float | None]


class Report(msgspec.Struct):
    """The counts of a campaign."""

    kills: int = 0
    crawls: int = 0
    repeated: int = 0
    most_repeated_by_one_kill: int = 0
    slowest_death: float = 0.0
    slowest_return: float = 0.0


class Campaign:
    """Many kills of one kind over as many crawls as it takes. `places` are lines of TOML that say where the crawls keep
    their URLs and pages, "" for the directory."""

    def __init__(self, modes: list[str], hosts: int, pages: int, concurrency: int, seed: int, places: str = "") -> None:
        self.report = Report()
        self._modes = modes
        self._concurrency = concurrency
        self._dice = random.Random(seed)
        self._truth = Truth(hosts, pages)
        self._places = places

    def run(self, kills: int, strike: Strike, life: tuple[float, float]) -> Report:
        """Kill until the count is reached. `strike` returns the time of the kill; `life` bounds the seconds before each
        one."""
        while self.report.kills < kills:
            with tempfile.TemporaryDirectory() as name:
                self._crawl(Path(name), kills, strike, life)
            self.report.crawls += 1
        return self.report

    def _crawl(self, folder: Path, kills: int, strike: Strike, life: tuple[float, float]) -> None:
        struck: list[float] = []
        with self._truth.serve(folder) as web:
            (folder / "web.toml").write_text(self._places + to_toml(web.settings))
            while self.report.kills < kills:
                crawler = Crawler(folder, self._modes[self.report.kills % len(self._modes)], self._concurrency)
                blow_at = monotonic() + self._dice.uniform(*life)
                while monotonic() < blow_at and not crawler.ended():
                    sleep(0.005)
                hit_at = None if crawler.ended() else strike(crawler)
                if hit_at is None:
                    summary = crawler.wait()
                    break
                struck.append(hit_at)
                self.report.kills += 1
                self.report.slowest_death = max(self.report.slowest_death, crawler.reap())
            else:
                summary = Crawler(folder, self._dice.choice(self._modes), self._concurrency).wait()
            toll = self._truth.check(folder, web, summary, struck, self._concurrency)
        self.report.repeated += toll.repeated
        self.report.most_repeated_by_one_kill = max(self.report.most_repeated_by_one_kill, toll.most)
        self.report.slowest_return = max(self.report.slowest_return, toll.slowest_return)


def strike_group(crawler: Crawler) -> float:
    """kill -9 of the whole group."""
    hit_at = monotonic()
    os.killpg(crawler.process.pid, signal.SIGKILL)
    return hit_at


def strike_parent(crawler: Crawler) -> float:
    """kill -9 of the parent alone."""
    hit_at = monotonic()
    os.kill(crawler.process.pid, signal.SIGKILL)
    return hit_at


def strike_worker(crawler: Crawler) -> float | None:
    """kill -9 of one worker process; the crawl must go on and end complete by itself."""
    hit_at = crawler.strike_worker(signal.SIGKILL)
    if hit_at is not None:
        crawler.wait()
    return hit_at


def strike_stop(crawler: Crawler) -> float | None:
    """SIGSTOP of one worker process, for good; the crawl must replace it and end complete by itself."""
    hit_at = crawler.strike_worker(signal.SIGSTOP)
    if hit_at is not None:
        crawler.wait()
    return hit_at


STRIKES = {"group": strike_group, "parent": strike_parent, "worker": strike_worker, "stop": strike_stop}


def main() -> None:
    """Run campaigns from the command line and print what they counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", default=[*variants.names()], help="a mode, or mode:processes")
    parser.add_argument("--victim", choices=STRIKES, default="group")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--life", type=float, nargs=2, default=(0.4, 2.0), help="seconds before a blow, from and to")
    parser.add_argument("--hosts", type=int, default=40)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    campaign = Campaign(chosen.modes, chosen.hosts, chosen.pages, chosen.concurrency, chosen.seed)
    report = campaign.run(chosen.kills, STRIKES[chosen.victim], tuple(chosen.life))
    print(json.dumps({"modes": chosen.modes, "victim": chosen.victim, **msgspec.to_builtins(report)}))


if __name__ == "__main__":
    main()
