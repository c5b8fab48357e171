"""The invariants of a crawl of the demo web, whatever faults occurred on the way.

- Nothing lost: every URL that the oracle knows is settled, as the oracle says, and no other.
- Nothing twice: all parts together hold each page once, and the records are those that the rows name.
- Little again: repeated requests were in flight or uncommitted at a fault, and per fault no more than both together.
- Complete records: the audit reads everything back; the digest is the oracle's.
- Correct numbers: the summary equals a count of the oracle's outcomes.
- Politeness: the referee finds no request too early, forbidden or concurrent with another of its host.
- Nothing left behind: no unclosed part, no half-written file, no lock held.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from crawler.storage.directory import CrawlDirectory
from crawler.storage.verify import audit
from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.referee import Verdict, judge
from crawler.testweb.web import Web
from tests.contract.webs import rows
from tests.faults.crawlers import Summary

DELAY = 0.02
UNCOMMITTED = 64
ON_ITS_WAY = 0.1  # a request may still arrive after its sender was killed


class Toll(msgspec.Struct):
    """The cost of faults in one crawl: fetches repeated in all, most by one fault; the longest wait after one, in
    seconds."""

    repeated: int = 0
    most: int = 0
    slowest_return: float = 0.0


class Truth:
    """A demo web, and how a crawl of it must end."""

    def __init__(self, hosts: int, pages: int, attempts: int = 3, seed: int = 1) -> None:
        self.seed = seed
        self.web = Web(seed, hosts=hosts, pages=pages)
        self.ends = expected(self.web, attempts)
        self.digest = crawl_digest(self.ends)

    def serve(self, folder: Path) -> StartedWeb:
        """The web, with its log in `folder`."""
        return start_web(seed=self.seed, hosts=len(self.web.names), pages=self.web.pages, log=folder / "web.log")

    def check(
        self, folder: Path, served: StartedWeb, summary: Summary, struck: Sequence[float], in_flight: int
    ) -> Toll:
        """Judge the complete crawl in `folder`/out by all of the above; `summary` is that of its last run, `struck`
        are the monotonic times of the faults. Closes the server."""
        self.check_content(folder, summary)
        return self._take_toll(folder, served, struck, in_flight)

    def check_content(self, folder: Path, summary: Summary) -> None:
        """The part that also holds if requests were repeated for lack of memory."""
        self._check_numbers(summary)
        whole = audit(CrawlDirectory.open_readonly(folder / "out"))
        assert (whole.wrong, whole.orphans, whole.digest) == (0, 0, self.digest), whole
        found = {url: (row.reason, row.status) for url, row in rows(folder / "out").items()}
        assert found == {url: (end.reason, end.status) for url, end in self.ends.items()}
        self._check_records(folder / "out")
        check_nothing_left(folder / "out")

    def check_so_far(
        self, folder: Path, served: StartedWeb, summary: Summary, struck: Sequence[float], in_flight: int
    ) -> Toll:
        """Judge a crawl that was stopped, as far as it got."""
        found = audit(CrawlDirectory.open_readonly(folder / "out"))
        assert (found.wrong, found.orphans, found.digest) == (0, 0, summary["digest"]), found
        for url, row in rows(folder / "out").items():
            assert (row.reason, row.status) == (self.ends[url].reason, self.ends[url].status), row
        assert found.urls == summary["urls"], (found, summary)
        check_nothing_left(folder / "out")
        return self._take_toll(folder, served, struck, in_flight)

    def _take_toll(self, folder: Path, served: StartedWeb, struck: Sequence[float], in_flight: int) -> Toll:
        served.close()
        # A fault is not instantaneous: its time is taken just before it, and requests may still be in flight a little
        # longer.
        kills = sorted(at + ON_ITS_WAY * step / 20 for at in struck for step in range(21))
        return take_toll(judge(folder / "web.log", self.web, DELAY, kills=kills), sorted(struck), in_flight)

    def _check_numbers(self, summary: Summary) -> None:
        asked = [end for end in self.ends.values() if end.attempts]
        answered = Counter(str(end.status) for end in self.ends.values() if end.status)
        reasons = Counter(end.reason.value for end in self.ends.values())
        assert summary["owed"] == 0, summary
        assert (summary["digest"], summary["urls"]) == (self.digest, len(asked)), summary
        assert (summary["statuses"], summary["reasons"]) == (answered, reasons), summary
        assert summary["bytes"] == sum(end.size for end in asked), summary

    def _check_records(self, out: Path) -> None:
        store = CrawlDirectory.open_readonly(out).store()
        stored = Counter(page.url for part in store.parts() for _, page in store.pages(part))
        assert stored == Counter(url for url, end in self.ends.items() if end.stored)


def check_nothing_left(out: Path) -> None:
    """No half-written file, no unclosed part, no lock held."""
    left = [path for path in out.rglob("*") if path.name.startswith(".") or path.suffix == ".lock"]
    assert not left, left
    descriptor = os.open(out / "lock", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def take_toll(verdict: Verdict, struck: Sequence[float], in_flight: int) -> Toll:
    """The requests that the server saw again, by fault."""
    summary = verdict.duplicates, verdict.disallowed, verdict.closed, verdict.gaps, verdict.overlaps, verdict.holds
    assert verdict.clean, summary
    toll, by_blow = Toll(), [0] * len(struck)
    for repeated in verdict.excused:
        for first, again in pairwise(repeated.times):
            number = next(number for number, at in enumerate(struck) if at + ON_ITS_WAY >= first)
            by_blow[number] += 1
            toll.slowest_return = max(toll.slowest_return, again - struck[number])
    toll.repeated, toll.most = sum(by_blow), max(by_blow, default=0)
    assert toll.most <= in_flight + UNCOMMITTED
    return toll
