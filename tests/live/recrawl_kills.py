"""Re-crawls of a site behind a real nginx, whole and killed: `python -m tests.live.recrawl_kills --help`.

The site is crawled and then edited. A re-crawl of a copy of that crawl in each mode must name exactly the edits, get a
304 for all other pages, and have the same digest. Then re-crawls of more copies are killed after a random share of
their requests, and continued in the next mode, until the count is reached. However often one was killed, it must end as
those that were not: every URL with the same answer, no page stored twice, the same diff. A kill repeats at most the
requests that were in flight or not committed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import NamedTuple

import msgspec
import pytest

import variants
from crawler.core.reasons import Reason
from crawler.storage.diff import GenerationDiff
from crawler.storage.generations import folder_of, generations
from tests.contract.webs import rows
from tests.faults.crawlers import CrawlerSession, Summary
from tests.faults.invariants import UNCOMMITTED, check_nothing_left
from tests.live.nightly_site import NOT_PAGES, Edits, Expected, NightlySite, check, nightly_site

VICTIMS = ("group", "parent", "worker")
CONCURRENCY = 16
PATIENCE = 300.0
AROUND = 0.2
"""The share of kills before the first request and after the last, each."""
STARTING = 1.0
ENDING = 0.3
"""Seconds within which a kill comes there."""


class Found(msgspec.Struct, kw_only=True):
    """What re-crawls came to. `kills` by victim, in so many `recrawls`; `repeated` counts requests that
    kills repeated."""

    urls: int
    not_modified: int
    digest: str
    modes: tuple[str, ...]
    kills: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(VICTIMS, 0))
    recrawls: int = 0
    repeated: int = 0
    most_repeated_in_one: int = 0


class Ended(NamedTuple):
    """How a re-crawl ended: of each URL the reason, the status, the digest of its page and whether a 304 confirmed it;
    the diff; the digest of all."""

    answers: dict[str, tuple[Reason, int, bytes, bool]]
    diff: GenerationDiff
    digest: str


class Nights:
    """A first crawl of a site in `folder`, its edits, and re-crawls of copies of it. `places` are lines of TOML that
    say where it keeps its URLs and pages, "" for the directory."""

    def __init__(
        self, site: NightlySite, folder: Path, edits: Edits, modes: Sequence[str], seed: int, places: str = ""
    ) -> None:
        self._site = site
        self._folder = folder
        self._modes = modes
        self._dice = random.Random(seed)
        self._first = folder / "first"
        flags = ("--delay", "0", "--per-host", str(CONCURRENCY), "--concurrency", str(CONCURRENCY), "--processes", "2")
        (folder / "places.toml").write_text(places)
        self._run(
            site.url,
            "--mode",
            modes[0],
            "--exclude",
            NOT_PAGES,
            *flags,
            "--out",
            str(self._first),
            "--config",
            str(folder / "places.toml"),
        )
        self._expected: Expected = site.edit(self._first, edits, seed)
        self._whole, self._log_size = self._in_each_mode()
        self.found = Found(
            urls=len(self._whole.answers),
            not_modified=self._expected.unchanged,
            digest=self._whole.digest,
            modes=tuple(modes),
        )

    def _in_each_mode(self) -> tuple[Ended, int]:
        """Re-crawl a copy in each mode; returns how they ended, all alike, and the bytes that one logs."""
        ended: list[Ended] = []
        for mode in self._modes:
            out, logged = self._copy(), self._site.logged
            summary = self._run("recrawl", str(out), "--mode", mode)
            asked = Counter(self._site.requests(logged))
            assert max(asked.values()) == 1, asked.most_common(3)
            ended.append(self._ended(out, summary))
            assert ended[-1] == ended[0], mode
            size = self._site.logged - logged
        return ended[0], size

    def kill(self, victim: str, count: int) -> None:
        """Kill a victim of re-crawls until the count is reached."""
        while self.found.kills[victim] < count:
            self._kill_one(victim, count)
            self.found.recrawls += 1

    def _kill_one(self, victim: str, count: int) -> None:
        out, logged, struck = self._copy(), self._site.logged, 0
        for mode in cycle(self._dice.sample(self._modes, len(self._modes))):
            command = "resume" if 1 in generations(out) else "recrawl"
            crawler = CrawlerSession(command, str(out), "--mode", mode, "--json", "-q")
            if self.found.kills[victim] == count:
                summary = crawler.wait(PATIENCE)
                break
            self._wait(crawler, self._dice.uniform(-AROUND, 1 + AROUND), logged)
            if crawler.ended() or crawler.strike(victim) is None:
                summary = crawler.wait(PATIENCE)
                break
            struck += 1
            self.found.kills[victim] += 1
            if victim == "worker":
                summary = crawler.wait(PATIENCE)
                break
            crawler.reap()
        assert self._ended(out, summary) == self._whole
        asked = self._site.requests(logged)
        repeated = len(asked) - len(set(asked))
        assert repeated <= struck * (CONCURRENCY + UNCOMMITTED), (repeated, struck)
        self.found.repeated += repeated
        self.found.most_repeated_in_one = max(self.found.most_repeated_in_one, repeated)

    def _wait(self, crawler: CrawlerSession, share: float, since: int) -> None:
        """Wait for this share of the requests of a re-crawl: before 0 its start, beyond 1 its end."""
        while not crawler.ended() and self._site.logged - since < min(share, 1.0) * self._log_size:
            sleep(0.002)
        if share < 0 or share > 1:
            sleep(self._dice.uniform(0, STARTING if share < 0 else ENDING))

    def _ended(self, out: Path, summary: Summary) -> Ended:
        """How a re-crawl ended, which must be whole and leave nothing behind."""
        assert (summary["generation"], summary["complete"], summary["owed"]) == (1, True, 0), summary
        assert generations(out) == [0, 1]
        found = check(out, self._expected)
        check_nothing_left(out)
        answers = {
            url: (row.reason, row.status, row.digest, row.not_modified) for url, row in rows(folder_of(out, 1)).items()
        }
        shutil.rmtree(out)
        return Ended(answers, msgspec.structs.replace(found, ended_at=(0.0, 0.0)), summary["digest"])

    def _copy(self) -> Path:
        """A copy of the first crawl."""
        return Path(shutil.copytree(self._first, self._folder / "out"))

    def _run(self, *arguments: str) -> Summary:
        return CrawlerSession(*arguments, "--json", "-q").wait(PATIENCE)


def main() -> None:
    """Re-crawl from the command line and print what that came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", default=[*variants.names()])
    parser.add_argument(
        "--kills", type=int, default=60, help="in all; a third of them for each of: " + ", ".join(VICTIMS)
    )
    parser.add_argument("--own", type=int, default=0, help="so many pages of our own instead of the manuals")
    parser.add_argument("--edits", type=int, nargs=3, default=(40, 10, 7), help="pages edited, deleted, added")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    try:
        with nightly_site(chosen.own) as site, TemporaryDirectory() as folder:
            nights = Nights(site, Path(folder), Edits(*chosen.edits), chosen.modes, chosen.seed)
            print(json.dumps(msgspec.to_builtins(nights.found)), flush=True)
            for victim in VICTIMS:
                nights.kill(victim, chosen.kills // len(VICTIMS))
                print(json.dumps(msgspec.to_builtins(nights.found)), flush=True)
    except pytest.skip.Exception as missing:
        sys.exit(str(missing))


if __name__ == "__main__":
    main()
