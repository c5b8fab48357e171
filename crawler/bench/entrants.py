"""The entrants: the raw client loops, single stages of a crawl, whole crawls by each mode. Peers are in `peers`.

An entrant is a command, and a function that reads its results from its folder. Rules, and why:
- Every entrant runs in a fresh process below the launcher of `compare`, which counts the CPU of a whole process tree
  exactly. A crawl's own meter samples, and misses what workers spent since the last sample.
- No figure includes starting up. Children that are one Python process leave it out themselves; for a mode the CPU of a
  crawl of one page (`startup`) is subtracted.
- Pages per second count from the first fetch to the last commit, as in the summary of a crawl.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import msgspec

from crawler.bench.child_result import ChildResult
from crawler.bench.task import Task
from crawler.compare.launch import Cost
from crawler.compare.run_process import Crashed, last_line, summary_of
from crawler.storage.directory import CrawlDirectory

CRAWL = "crawl"
Kind = Literal["client", "stage", "mode", "peer"]


class Outcome(NamedTuple):
    """One run: URLs per second, CPU seconds per URL, peak memory of the tree in bytes (0: too short to be sampled).

    `urls` are those requested, `digest` that of a crawl, `statuses` the count of each, `size` the bytes of all bodies;
    None where an entrant does not report it. `connections` were begun, 0 where they were not counted. `wrong` describes
    what is wrong whatever the first crawl found.
    """

    rate: float
    cpu: float
    memory: int
    urls: frozenset[str] | None = None
    digest: str | None = None
    statuses: Mapping[str, int] | None = None
    size: int | None = None
    connections: int = 0
    wrong: str = ""


class Entrant(Protocol):
    """The interface of an entrant."""

    @property
    def name(self) -> str:
        """The name in the output."""

    @property
    def kind(self) -> Kind:
        """Client, stage, mode or peer."""

    def command(self, task: Task, folder: Path) -> list[str]:
        """The command to run; `folder` is empty and for this run only."""

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The result of the run. Raises Crashed where there is none."""


class Child(NamedTuple):
    """A module of ours that measures itself: a raw loop over the known URLs, or a stage over the pages of the crawl."""

    name: str
    word: str
    kind: Kind

    def command(self, task: Task, folder: Path) -> list[str]:
        """Run `crawler.bench.raw` or `crawler.bench.stages`."""
        if self.kind == "client":
            words = ["crawler.bench.raw", self.word, str(task.urls), str(task.in_flight)]
        else:
            words = ["crawler.bench.stages", self.word, str(task.crawl), str(folder)]
        return [sys.executable, "-m", *words]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The result that the child reported. Raises Crashed."""
        result = read_result(cost, folder, folder / "out")
        statuses = result.statuses if self.kind == "client" else None
        return Outcome(result.count / result.seconds, result.cpu / result.count, cost.memory, statuses=statuses)


class Mode:
    """A whole crawl from the command line. `word` is a mode, or mode+client."""

    kind: Kind = "mode"

    def __init__(self, word: str) -> None:
        self.name = word
        self.startup = 0.0

    def command(self, task: Task, folder: Path) -> list[str]:
        """Crawl the site with the profile `fast`."""
        mode, _, client = self.name.partition("+")
        words = [sys.executable, "-m", "crawler", "--mode", mode, "--profile", "fast", "--json", "-q"]
        words += ["--concurrency", str(task.in_flight), "--per-host", str(task.in_flight)]
        words += ["--client", client] if client else []
        words += ["--config", str(task.configuration)] if task.configuration else []
        words += [word for text in task.exclude for word in ("--exclude", text)]
        return [*words, "--out", str(folder / CRAWL), task.url]

    def starting(self, task: Task, folder: Path) -> list[str]:
        """The same for the start page only."""
        return [*self.command(task, folder), "--max-depth", "0"]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The result, from the crawl's summary and frontier. Raises Crashed."""
        summary = summary_of(cost, folder)
        if cost.exit_code or not summary.urls:
            raise Crashed(f"ended with exit code {cost.exit_code} after {summary.urls} URLs: {last_line(folder)}")
        return Outcome(
            rate=summary.pages_per_second,
            cpu=max(0.0, cost.cpu - self.startup) / summary.urls,
            memory=max(cost.memory, summary.peak_memory_bytes),
            urls=_asked_for(folder / CRAWL),
            digest=summary.digest,
        )


RAW = Child("raw aiohttp", "aiohttp", "client")
CURL = Child("raw pycurl, threads", "curl", "client")
NATIVE = Child("raw native", "native", "client")
NATIVE_THREADS = Child("raw native, threads", "native-threads", "client")
ALONE = (
    CURL,
    NATIVE,
    NATIVE_THREADS,
    Child("parse only", "parse", "stage"),
    Child("store only", "store", "stage"),
    Child("frontier only, per row", "frontier", "stage"),
)


def read_result(cost: Cost, folder: Path, file: Path) -> ChildResult:
    """The result that a child wrote to a file. Raises Crashed where there is none."""
    try:
        result = msgspec.json.decode(file.read_bytes(), type=ChildResult)
    except (OSError, msgspec.DecodeError) as error:
        raise Crashed(f"ended with exit code {cost.exit_code}: {last_line(folder)}") from error
    if not result.count:
        raise Crashed(f"did nothing: {last_line(folder)}")
    return result


def _asked_for(crawl: Path) -> frozenset[str]:
    """The URLs that a crawl fetched or tried to fetch."""
    with closing(CrawlDirectory.open_readonly(crawl).open_frontiers()) as frontier:
        return frozenset(row.url for row in frontier.settled() if row.attempts)
