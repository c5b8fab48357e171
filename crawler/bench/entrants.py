"""Who takes part: the raw client loops, single stages of a crawl, whole crawls by each mode. Peers are in `peers`.

An entrant is a command, and a way to read what it left in its folder. Rules, and why:
- Every entrant runs in a fresh process below the launcher of `compare`, which counts the CPU of a whole process tree
  exactly. A crawl's own meter samples, and misses what workers spent since its last look.
- Starting up is in no figure: children that are one Python process leave it out themselves; of a mode it is what a
  crawl of one page costs (`startup`).
- Pages per second count from the first fetch to the last commit, as the summary of a crawl has it.
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
from crawler.compare.run_process import Crashed, last_line, told_by
from crawler.storage.directory import CrawlDirectory

CRAWL = "crawl"
Kind = Literal["client", "stage", "mode", "peer"]


class Outcome(NamedTuple):
    """One run: URLs per second, CPU seconds per URL, peak memory of the tree in bytes (0: too short to be seen).

    `urls` are those it asked for, `digest` that of a crawl, `statuses` how often each was answered; None where an
    entrant does not tell.
    """

    rate: float
    cpu: float
    memory: int
    urls: frozenset[str] | None = None
    digest: str | None = None
    statuses: Mapping[str, int] | None = None


class Entrant(Protocol):
    """One that takes part."""

    @property
    def name(self) -> str:
        """What people read."""

    @property
    def kind(self) -> Kind:
        """What it is."""

    def command(self, task: Task, folder: Path) -> list[str]:
        """What to run; `folder` is empty and its own."""

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """What came of it. Raises Crashed."""


class Client(NamedTuple):
    """A raw loop of `crawler.bench.raw`."""

    name: str
    client: str
    kind: Kind = "client"

    def command(self, task: Task, folder: Path) -> list[str]:
        """Over the known URLs."""
        told = [sys.executable, "-m", "crawler.bench.raw", self.client]
        return [*told, str(task.urls), str(task.in_flight)]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """What it told."""
        told = read_told(cost, folder, folder / "out")
        return Outcome(told.count / told.seconds, told.cpu / told.count, cost.memory, statuses=told.statuses)


class Stage(NamedTuple):
    """A stage of `crawler.bench.stages`."""

    name: str
    stage: str
    kind: Kind = "stage"

    def command(self, task: Task, folder: Path) -> list[str]:
        """On the pages of the crawl that is there."""
        return [sys.executable, "-m", "crawler.bench.stages", self.stage, str(task.crawl), str(folder)]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """What it told."""
        told = read_told(cost, folder, folder / "out")
        return Outcome(told.count / told.seconds, told.cpu / told.count, cost.memory)


class Mode:
    """A whole crawl from the command line. `word` is a mode, or mode+client."""

    kind: Kind = "mode"

    def __init__(self, word: str) -> None:
        self.name = word
        self.startup = 0.0

    def command(self, task: Task, folder: Path) -> list[str]:
        """With the profile for a site of one's own."""
        mode, _, client = self.name.partition("+")
        told = [sys.executable, "-m", "crawler", "--mode", mode, "--profile", "fast", "--json", "-q"]
        told += ["--concurrency", str(task.in_flight), "--per-host", str(task.in_flight)]
        told += ["--client", client] if client else []
        told += ["--config", str(task.configuration)] if task.configuration else []
        told += [word for text in task.exclude for word in ("--exclude", text)]
        return [*told, "--out", str(folder / CRAWL), task.url]

    def starting(self, task: Task, folder: Path) -> list[str]:
        """The same for one page."""
        return [*self.command(task, folder), "--max-depth", "0"]

    def outcome(self, cost: Cost, folder: Path) -> Outcome:
        """What its summary and its frontier say."""
        told = told_by(cost, folder)
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
    """What a child left in a file. Raises Crashed."""
    try:
        told = msgspec.json.decode(file.read_bytes(), type=Told)
    except (OSError, msgspec.DecodeError) as error:
        raise Crashed(f"ended with exit code {cost.exit_code}: {last_line(folder)}") from error
    if not told.count:
        raise Crashed(f"did nothing: {last_line(folder)}")
    return told


def _asked_for(crawl: Path) -> frozenset[str]:
    """The URLs that a crawl fetched, or tried to."""
    with closing(CrawlDirectory.open_readonly(crawl).open_frontiers()) as frontier:
        return frozenset(row.url for row in frontier.settled() if row.attempts)
