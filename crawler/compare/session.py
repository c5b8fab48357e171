"""Plans a comparison, and runs the trials that it still misses.

Rules, and why:
- Resuming skips recorded trials and repeats none, void or not: repeating until the result is as wished would bias it.
- A session is resumed only in the environment in which it began (crawler.compare.environment).
- One process at a time: the folder is locked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from time import monotonic, time
from typing import NamedTuple

from crawler.compare.design import LIVE, PRESETS, Planned, Preset, schedule
from crawler.compare.environment import environment, unlike
from crawler.compare.live import LiveTrials
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
    """Progress after a trial, or before the first (`trial` None): trials done, of how many, seconds left if known."""

    trial: Trial | None
    done: int
    of: int
    left: float | None


OnProgress = Callable[[Progress], None]


def plan(
    preset: str,
    arms: tuple[Arm, ...],
    *,
    seed: int,
    command: str,
    lenient: bool = False,
    on_site: tuple[Site, Condition, int] | None = None,
    predictions: Path | None = None,
) -> Session:
    """A new session in the current environment: of a preset, or on a real site, under a condition, in so many blocks;
    with the `predictions` of a file, or those that come with the package. Raises UsageError."""
    site = None
    if on_site:
        site, condition, blocks = on_site
        preset, chosen = LIVE, Preset("", (condition,), {condition.sweep: blocks})
    elif preset in PRESETS:
        chosen = PRESETS[preset]
    else:
        raise UsageError(f"unknown preset {preset!r} (there are: {', '.join(PRESETS)})")
    conditions = chosen.conditions
    return Session(
        format=FORMAT,
        preset=preset,
        seed=seed,
        created_at=time(),
        command=command,
        arms=arms,
        conditions=conditions,
        blocks=chosen.blocks,
        environment=environment() | {GATES: STRICT if chosen.strict and not lenient else LENIENT},
        site=site,
        predictions=(read(predictions, arms, conditions) if predictions else shipped(arms, conditions)),
    )


def conduct(folder: Path, *, stopped: Stopped = lambda: False, on_progress: OnProgress = lambda progress: None) -> bool:
    """Run the missing trials of a session; returns whether all are recorded now. `stopped` is polled: True ends it
    early.

    Raises UsageError where the environment, or what was fixed before, has changed, Locked, CrawlerError, OSError.
    """
    session = read_session(folder)
    if changed := faults(folder, session):
        raise UsageError(f"{folder} is not as it was fixed before its first trial: {'; '.join(changed)}")
    with _locked(folder):
        here = environment() | {GATES: session.environment.get(GATES, STRICT)}
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
                with empty_folder(folder / WORK) as work:
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
    return WebTrials(session.seed, strict, trials, folder)


class _Pace:
    """Estimates the time left from the durations of each condition so far."""

    def __init__(self) -> None:
        self._took: dict[Condition, list[float]] = {}

    def took(self, condition: Condition, seconds: float) -> None:
        self._took.setdefault(condition, []).append(seconds)

    def left(self, missing: list[Planned]) -> float | None:
        if not self._took:
            return None
        usual = fmean(seconds for took in self._took.values() for seconds in took)
        return sum(fmean(self._took.get(one.condition, [usual])) for one in missing)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK)
    lock.acquire(str(folder))
    try:
        yield
    finally:
        lock.release()
