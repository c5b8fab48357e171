"""Everybody in turn, each right after the yardstick, and whether they did the same work.

Rules, and why:
- A ratio compares two runs of the same few seconds: before each entrant the raw aiohttp loop runs, and the entrant is
  held against that run, so a drift of the machine meets both. The loop itself is an entrant, too: its ratio to itself
  shows how much of any other ratio is noise.
- Every round turns the order by one.
- Equal work: the crawl that came first says which URLs there are, what they answered and what their digest is. Every
  mode must come to the same, and every raw loop to the same answers, or the comparison is wrong. Peers have manners of
  their own: what they missed or asked for beside is counted and shown.
- Who fails once does not run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from crawler.bench.entrants import CRAWL, RAW, Entrant, Mode, Outcome
from crawler.bench.task import Reference, Task, prepare
from crawler.compare import workload
from crawler.compare.launch import Cost
from crawler.compare.run_process import Crashed, Stopped, run_watched
from crawler.errors import CrawlerError
from crawler.system.text import counts

FIRST = "async"
TMPFS = Path("/dev/shm")
PATIENCE, SLOWEST_PAGE = 120.0, 0.1  # seconds: of a run, and beside it for every page of the site

Tell = Callable[[str], None]


@dataclass
class Score:
    """An entrant over all rounds: ratios to the yardstick, one per round, and the largest memory seen, in bytes.

    `missing` and `extra` count URLs that it did not ask for and asked for beside, the most in any round. `wrong` says
    what else is not as it must be.
    """

    entrant: Entrant
    rates: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    memory: int = 0
    missing: int = 0
    extra: int = 0
    wrong: str = ""

    @property
    def equal(self) -> bool:
        """Whether it did the work that was to do."""
        return not (self.wrong or self.missing or self.extra)

    def add(self, outcome: Outcome, yardstick: Outcome) -> None:
        """Count a run, held against the one before it."""
        self.rates.append(outcome.rate / yardstick.rate)
        self.cpus.append(outcome.cpu / yardstick.cpu)
        self.memory = max(self.memory, outcome.memory)

    def judge(self, outcome: Outcome, reference: Reference) -> None:
        """Was it the work that was to do?"""
        if outcome.statuses is not None and outcome.statuses != reference.statuses:
            self.wrong = f"other answers: {counts(dict(outcome.statuses))} instead of {counts(reference.statuses)}"
        if outcome.digest is not None and outcome.digest != reference.digest:
            self.wrong = f"another digest: {outcome.digest} instead of {reference.digest}"
        if outcome.urls is not None:
            self.missing = max(self.missing, len(reference.urls - outcome.urls))
            self.extra = max(self.extra, len(outcome.urls - reference.urls))


class Result(NamedTuple):
    """What a bench has found."""

    task: Task
    reference: Reference
    scores: list[Score]


def measure(
    url: str,
    entrants: Sequence[Entrant],
    *,
    in_flight: int,
    rounds: int,
    exclude: tuple[str, ...],
    configuration: Path | None,
    stopped: Stopped,
    tell: Tell,
) -> Result:
    """Crawl a site (checked by `task.check`) once, then measure everybody on it. Raises CrawlerError, Interrupted."""
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        task = Task(url, in_flight, exclude, configuration, folder / CRAWL, folder / "urls")
        tell(f"crawling {url}")
        reference = prepare(task, Mode(FIRST).command(task, folder), environment(), stopped)
        return Result(task, reference, Race(task, reference, stopped, tell).run(entrants, rounds))


class Race:
    """Runs entrants on a task; `stopped` is asked often, and True ends everything (Interrupted)."""

    def __init__(self, task: Task, reference: Reference, stopped: Stopped, tell: Tell) -> None:
        self._task = task
        self._reference = reference
        self._stopped = stopped
        self._tell = tell

    def run(self, entrants: Sequence[Entrant], rounds: int) -> list[Score]:
        """All of them, in every round. Raises Interrupted; CrawlerError where the yardstick cannot run."""
        scores = [Score(entrant) for entrant in entrants]
        for entrant in entrants:
            if isinstance(entrant, Mode):
                self._tell(f"{entrant.name}: starting up")
                self._start(entrant)
        for number in range(rounds):
            shift = number % len(scores)
            for place, score in enumerate(scores[shift:] + scores[:shift], 1):
                self._tell(f"round {number + 1} of {rounds}, {place} of {len(scores)}: {score.entrant.name}")
                if not score.wrong:
                    self._measure(score)
        return scores

    def _start(self, mode: Mode) -> None:
        """Learn what starting up costs. A mode that cannot even do that will say so when it is measured."""
        with TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            mode.startup = self._watch(mode.starting(self._task, folder), folder).cpu

    def _measure(self, score: Score) -> None:
        """Run the yardstick, then the entrant."""
        try:
            yardstick = self._run(RAW)
        except Crashed as why:
            raise CrawlerError(f"{RAW.name}: {why}") from why
        try:
            outcome = self._run(score.entrant)
        except Crashed as why:
            score.wrong = f"failed: {why}"
            return
        score.add(outcome, yardstick)
        score.judge(outcome, self._reference)

    def _run(self, entrant: Entrant) -> Outcome:
        """One run in a folder of its own. Raises Crashed, Interrupted."""
        tmpfs = TMPFS if entrant.kind == "peer" and TMPFS.is_dir() else None
        with TemporaryDirectory(prefix="bench-", dir=tmpfs) as name:
            folder = Path(name)
            return entrant.outcome(self._watch(entrant.command(self._task, folder), folder), folder)

    def _watch(self, command: Sequence[str], folder: Path) -> Cost:
        patience = PATIENCE + SLOWEST_PAGE * len(self._reference.urls)
        return run_watched(command, folder, environment(), patience, self._stopped)


def environment() -> dict[str, str]:
    """Ours without CRAWLER_* variables; a crawl's report is no part of what is measured."""
    return workload.child_environment(0, 0) | {"CRAWLER_REPORT": "false"}
