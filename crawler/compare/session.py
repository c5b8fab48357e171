"""Plans a comparison, and runs the trials that it still misses.

Rules, and why:
- Resuming skips recorded trials and repeats none, void or not: repeating until the result is as wished would bias it.
- A session is resumed only in the environment in which it began (crawler.compare.environment).
- One process at a time: the folder is locked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import fmean
from time import monotonic, time
from typing import NamedTuple

from crawler.compare.design import LIVE, Planned, Preset, preset_of, schedule
from crawler.compare.duration import expected_seconds, trial_seconds
from crawler.compare.environment import environment, unlike
from crawler.compare.interpreters import interpreters
from crawler.compare.live import LiveTrials
from crawler.compare.placement import server_apart
from crawler.compare.predictions import read, shipped
from crawler.compare.preregistration import faults
from crawler.compare.records import Arm, Condition, Session, Site, Trial
from crawler.compare.run_process import Interrupted, Stopped, empty_folder
from crawler.compare.session_files import FORMAT, append, drop_incomplete_line, read_session, read_trials
from crawler.compare.web_trials import WebTrials
from crawler.errors import UsageError
from crawler.system.file_lock import FileLock

LOCK, WORK = "lock", "work"
GATES = "gates"
STRICT, LENIENT = "strict", "lenient: those of the machine only warn"


class Progress(NamedTuple):
    """Progress after a trial, or before the first (`trial` None): trials done, of how many, seconds left."""

    trial: Trial | None
    done: int
    of: int
    left: float


OnProgress = Callable[[Progress], None]


def plan(
    preset: str,
    arms: tuple[Arm, ...],
    *,
    seed: int,
    command: str,
    lenient: bool = False,
    tls: bool = False,
    open_loop: bool = False,
    on_site: tuple[Site, Condition, int] | None = None,
    predictions: Path | None = None,
) -> Session:
    """A new session in the current environment: of a preset, or on a real site, under a condition, in so many blocks;
    with the `predictions` of a file, or those that come with the package. Raises UsageError."""
    site = None
    if on_site:
        site, condition, blocks = on_site
        if tls or open_loop:
            raise UsageError("--tls and --open-loop are for webs of our own, not for a site")
        preset, design = LIVE, Preset("", (condition,), {condition.sweep: blocks})
    else:
        design = preset_of(preset, tls=tls, open_loop=open_loop)
    conditions = design.conditions
    return Session(
        format=FORMAT,
        preset=preset,
        seed=seed,
        created_at=time(),
        command=command,
        arms=arms,
        conditions=conditions,
        blocks=design.blocks,
        environment=environment() | interpreters(arms) | {GATES: STRICT if design.strict and not lenient else LENIENT},
        site=site,
        predictions=(read(predictions, arms, conditions) if predictions else shipped(arms, conditions)),
    )


def conduct(folder: Path, *, stopped: Stopped = lambda: False, on_progress: OnProgress = lambda progress: None) -> bool:
    """Run the missing trials of a session; returns whether all are recorded now. `stopped` is polled: True ends it
    early.

    Raises UsageError where the environment, or what was fixed before, has changed, Locked, CrawlerError, OSError.
    """
    session = read_session(folder)
    placed = nullcontext if session.site else server_apart
    if changed := faults(folder, session):
        raise UsageError(f"{folder} is not as it was fixed before its first trial: {'; '.join(changed)}")
    with _locked(folder):
        here = environment() | interpreters(session.arms) | {GATES: session.environment.get(GATES, STRICT)}
        if differing := unlike(session.environment, here):
            raise UsageError(f"{folder} was begun elsewhere and unlike trials are not mixed: {'; '.join(differing)}")
        drop_incomplete_line(folder)
        there = {trial.order: trial for trial in read_trials(folder)}
        planned = schedule(session)
        missing = [one for one in planned if one.order not in there]
        runner, pace = _runner(session, folder, there.values()), _Pace()
        on_progress(Progress(None, len(there), len(planned), pace.left(missing)))
        for place, one in enumerate(missing, 1):
            began = monotonic()
            try:
                with placed(), empty_folder(folder / WORK) as work:
                    trial = runner.run(one, work, there.values(), stopped)
            except Interrupted:
                return False
            there[one.order] = trial
            append(folder, trial)
            pace.took(one.condition, monotonic() - began)
            on_progress(Progress(trial, len(there), len(planned), pace.left(missing[place:])))
            if stopped():
                return place == len(missing)
    return True


def _runner(session: Session, folder: Path, trials: Iterable[Trial]) -> WebTrials | LiveTrials:
    """What runs the trials: on our own webs, or on the site of the session."""
    strict = session.environment.get(GATES) == STRICT
    if session.site:
        delay = session.conditions[0].delay
        return LiveTrials(session.site, folder, delay, session.seed, strict)
    return WebTrials(session.seed, strict, trials, folder, session.arms)


class _Pace:
    """Estimates the time left from the durations of each condition so far."""

    def __init__(self) -> None:
        self._took: dict[Condition, list[float]] = {}

    def took(self, condition: Condition, seconds: float) -> None:
        self._took.setdefault(condition, []).append(seconds)

    def left(self, missing: list[Planned]) -> float:
        """Seconds, by the model where there is no trial of a condition, corrected by those that there are."""
        modelled = sum(trial_seconds(condition) * len(took) for condition, took in self._took.items())
        if not modelled:
            return expected_seconds(missing)
        slower = sum(map(sum, self._took.values())) / modelled
        return sum(
            fmean(self._took[one.condition]) if one.condition in self._took else slower * trial_seconds(one.condition)
            for one in missing
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK)
    lock.acquire(str(folder))
    try:
        yield
    finally:
        lock.release()
