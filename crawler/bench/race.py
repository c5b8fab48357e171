"""Runs all entrants in turn, each right after the baseline, and checks that they did the same work.

Rules, and why:
- A ratio compares two adjacent runs: the first entrant (the baseline, a raw aiohttp loop) runs before each, and the
  entrant is compared with that run, so drift of the machine affects both. The loop is an entrant, too: its ratio to
  itself shows the noise of all ratios.
- Every round rotates the order by one.
- Equal work: a first crawl finds the URLs, their statuses and their digest. Every mode must reach the same, and every
  raw loop the same statuses, or the comparison is wrong. Peers follow other rules, so the URLs that they missed or
  requested in addition are counted and shown.
- An entrant that fails once does not run again. Without a baseline that does its work there is nothing to compare with:
  the race ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from crawler.bench.entrants import CRAWL, Entrant, Mode, Outcome
from crawler.bench.task import Reference, Task, prepare
from crawler.bench.web import BenchSite
from crawler.compare import workload
from crawler.compare.launch import Cost
from crawler.compare.run_process import Crashed, Stopped, run_watched
from crawler.errors import CrawlerError
from crawler.system.text import counts

FIRST = "async"
TMPFS = Path("/dev/shm")
PATIENCE, SLOWEST_PAGE = 120.0, 0.1  # timeout of a run in seconds, plus so many for every page of the site

OnProgress = Callable[[str], None]


@dataclass
class Score:
    """An entrant over all rounds: ratios to the baseline, one per round, the largest memory seen, in bytes, and the
    most connections, where they were counted.

    `missing` and `extra` count URLs that it did not request or requested in addition, the most in any round. `wrong`
    describes any other difference.
    """

    entrant: Entrant
    rates: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    memory: int = 0
    connections: int = 0
    missing: int = 0
    extra: int = 0
    wrong: str = ""

    @property
    def equal(self) -> bool:
        """Whether it did the required work."""
        return not (self.wrong or self.missing or self.extra)

    def add(self, outcome: Outcome, baseline: Outcome) -> None:
        """Add a run and its ratios to the baseline run before it."""
        self.rates.append(outcome.rate / baseline.rate)
        self.cpus.append(outcome.cpu / baseline.cpu)
        self.memory = max(self.memory, outcome.memory)
        self.connections = max(self.connections, outcome.connections)

    def judge(self, outcome: Outcome, reference: Reference) -> None:
        """Compare a run's work with the reference."""
        if outcome.statuses is not None and outcome.statuses != reference.statuses:
            self.wrong = f"other answers: {counts(dict(outcome.statuses))} instead of {counts(reference.statuses)}"
        if outcome.digest is not None and outcome.digest != reference.digest:
            self.wrong = f"another digest: {outcome.digest} instead of {reference.digest}"
        if outcome.size is not None and outcome.size != reference.size:
            self.wrong = f"other bodies: {outcome.size:,} bytes instead of {reference.size:,}"
        self.wrong = outcome.wrong or self.wrong
        if outcome.urls is not None:
            self.missing = max(self.missing, len(reference.urls - outcome.urls))
            self.extra = max(self.extra, len(outcome.urls - reference.urls))


class Result(NamedTuple):
    """The result of a bench."""

    task: Task
    reference: Reference
    scores: list[Score]


class RacePlan(NamedTuple):
    """What is measured: the entrants, the baseline first, fetches in flight, rounds; regular expressions of paths that
    are left out, and the user's configuration of the crawls."""

    entrants: tuple[Entrant, ...]
    in_flight: int
    rounds: int
    exclude: tuple[str, ...]
    configuration: Path | None


def measure(site: BenchSite, plan: RacePlan, *, stopped: Stopped, on_progress: OnProgress) -> Result:
    """Crawl a site (checked by `task.check`) once, then measure all entrants. Raises CrawlerError, Interrupted."""
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        task = Task(site.url, plan.in_flight, plan.exclude, plan.configuration, folder / CRAWL, folder / "urls")
        on_progress(f"crawling {site.url}")
        trusting = environment() | ({"CRAWLER_CA_FILE": site.ca_file} if site.ca_file else {})
        reference = prepare(task, Mode(FIRST).command(task, folder), trusting, stopped)
        return Result(task, reference, Race(task, reference, stopped, on_progress).run(plan.entrants, plan.rounds))


class Race:
    """Runs entrants on a task; `stopped` is polled, and True ends the race (Interrupted)."""

    def __init__(self, task: Task, reference: Reference, stopped: Stopped, on_progress: OnProgress) -> None:
        self._task = task
        self._reference = reference
        self._stopped = stopped
        self._on_progress = on_progress

    def run(self, entrants: Sequence[Entrant], rounds: int) -> list[Score]:
        """Run all entrants in every round, each after the first. Raises Interrupted; CrawlerError where the first
        cannot run, or does other work."""
        scores = [Score(entrant) for entrant in entrants]
        for entrant in entrants:
            if isinstance(entrant, Mode):
                self._on_progress(f"{entrant.name}: starting up")
                self._start(entrant)
        for number in range(rounds):
            shift = number % len(scores)
            for place, score in enumerate(scores[shift:] + scores[:shift], 1):
                self._on_progress(f"round {number + 1} of {rounds}, {place} of {len(scores)}: {score.entrant.name}")
                if not score.wrong:
                    self._measure(score, entrants[0])
        return scores

    def _start(self, mode: Mode) -> None:
        """Measure the CPU of starting up. A mode that fails here fails again, and is reported, when it is measured."""
        with TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            mode.startup = self._watch(mode.starting(self._task, folder), folder).cpu

    def _measure(self, score: Score, first: Entrant) -> None:
        """Run the baseline, then the entrant."""
        try:
            baseline = self._run(first)
        except Crashed as why:
            raise CrawlerError(f"{first.name}: {why}") from why
        if baseline.wrong:
            raise CrawlerError(f"{first.name}: {baseline.wrong}")
        try:
            outcome = self._run(score.entrant)
        except Crashed as why:
            score.wrong = f"failed: {why}"
            return
        score.add(outcome, baseline)
        score.judge(outcome, self._reference)

    def _run(self, entrant: Entrant) -> Outcome:
        """One run in its own temporary folder. Raises Crashed, Interrupted."""
        tmpfs = TMPFS if entrant.kind == "peer" and TMPFS.is_dir() else None
        with TemporaryDirectory(prefix="bench-", dir=tmpfs) as name:
            folder = Path(name)
            return entrant.outcome(self._watch(entrant.command(self._task, folder), folder), folder)

    def _watch(self, command: Sequence[str], folder: Path) -> Cost:
        patience = PATIENCE + SLOWEST_PAGE * len(self._reference.urls)
        return run_watched(command, folder, environment(), patience, self._stopped)


def environment() -> dict[str, str]:
    """Our environment without CRAWLER_* variables, and with reports off, as they are not measured."""
    return workload.child_environment() | {"CRAWLER_REPORT": "false"}
