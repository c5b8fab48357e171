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

from crawler.bench.child_result import Told
from crawler.bench.task import Task
from crawler.compare.launch import Cost
from crawler.compare.run_process import Crashed, last_line, summary_of
from crawler.storage.directory import CrawlDirectory

CRAWL = "crawl"
Kind = Literal["client", "stage", "mode", "peer"]


class Outcome(NamedTuple):
    """One run: URLs per second, CPU seconds per URL, peak memory of the tree in bytes (0: too short to be sampled).

    `urls` are those requested, `digest` that of a crawl, `statuses` the count of each; None where an entrant does not
    report it.
    """

    rate: float
    cpu: float
    memory: int
    urls: frozenset[str] | None = None
    digest: str | None = None
    statuses: Mapping[str, int] | None = None


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


class Client(NamedTuple):
    """A raw loop of `crawler.bench.raw`."""

    name: str
    client: str
    kind: Kind = "client"

    def command(self, task: Task, folder: Path) -> list[str]:
        """Fetch the known URLs."""
        told = [sys.executable, "-m", "crawler.bench.raw", self.client]
        return [*told, str(task.urls), str(task.in_flight)]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The result that the child reported. Raises Crashed."""
        told = read_told(cost, folder, folder / "out")
        return Outcome(told.count / told.seconds, told.cpu / told.count, cost.memory, statuses=told.statuses)


class Stage(NamedTuple):
    """A stage of `crawler.bench.stages`."""

    name: str
    stage: str
    kind: Kind = "stage"

    def command(self, task: Task, folder: Path) -> list[str]:
        """Work on the pages of the existing crawl."""
        return [sys.executable, "-m", "crawler.bench.stages", self.stage, str(task.crawl), str(folder)]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The result that the child reported. Raises Crashed."""
        told = read_told(cost, folder, folder / "out")
        return Outcome(told.count / told.seconds, told.cpu / told.count, cost.memory)


class Mode:
    """A whole crawl from the command line. `word` is a mode, or mode+client."""

    kind: Kind = "mode"

    def __init__(self, word: str) -> None:
        self.name = word
        self.startup = 0.0

    def command(self, task: Task, folder: Path) -> list[str]:
        """Crawl the site with the profile `fast`."""
        mode, _, client = self.name.partition("+")
        told = [sys.executable, "-m", "crawler", "--mode", mode, "--profile", "fast", "--json", "-q"]
        told += ["--concurrency", str(task.in_flight), "--per-host", str(task.in_flight)]
        told += ["--client", client] if client else []
        told += ["--config", str(task.configuration)] if task.configuration else []
        told += [word for text in task.exclude for word in ("--exclude", text)]
        return [*told, "--out", str(folder / CRAWL), task.url]

    def starting(self, task: Task, folder: Path) -> list[str]:
        """The same for the start page only."""
        return [*self.command(task, folder), "--max-depth", "0"]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """The result, from the crawl's summary and frontier. Raises Crashed."""
        told = summary_of(cost, folder)
        if cost.exit_code or not told.urls:
            raise Crashed(f"ended with exit code {cost.exit_code} after {told.urls} URLs: {last_line(folder)}")
        return Outcome(
            rate=told.pages_per_second,
            cpu=max(0.0, cost.cpu - self.startup) / told.urls,
            memory=max(cost.memory, told.peak_memory_bytes),
            urls=_asked_for(folder / CRAWL),
            digest=told.digest,
        )


RAW = Client("raw aiohttp", "aiohttp")
ALONE = (
    Client("raw pycurl, threads", "curl"),
    Stage("parse only", "parse"),
    Stage("store only", "store"),
    Stage("frontier only, per row", "frontier"),
)


def read_told(cost: Cost, folder: Path, file: Path) -> Told:
    """The result that a child wrote to a file. Raises Crashed where there is none."""
    try:
        told = msgspec.json.decode(file.read_bytes(), type=Told)
    except (OSError, msgspec.DecodeError) as error:
        raise Crashed(f"ended with exit code {cost.exit_code}: {last_line(folder)}") from error
    if not told.count:
        raise Crashed(f"did nothing: {last_line(folder)}")
    return told


def _asked_for(crawl: Path) -> frozenset[str]:
    """The URLs that a crawl fetched or tried to fetch."""
    with closing(CrawlDirectory.open_readonly(crawl).open_frontiers()) as frontier:
        return frozenset(row.url for row in frontier.settled() if row.attempts)
