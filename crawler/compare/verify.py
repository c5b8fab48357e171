"""Checks a session: every planned trial is there once, and its gates and metrics are those of its raw log."""

from __future__ import annotations

from pathlib import Path

from crawler.compare import raw_logs
from crawler.compare.design import rounded, schedule
from crawler.compare.records import Session, Trial
from crawler.compare.session import GATES, STRICT
from crawler.compare.session_files import read_session, read_trials
from crawler.compare.trial import judged
from crawler.errors import Corrupt


def verify(folder: Path) -> list[str]:
    """The faults of a session, one line each. Raises UsageError, Corrupt."""
    session, trials = read_session(folder), read_trials(folder)
    problems = _unplanned(session, trials)
    if session.site is None:
        for number, trial in enumerate(trials, 1):
            problems += [f"line {number}: {problem}" for problem in _recomputed(folder, session, trial)]
    return problems


def _unplanned(session: Session, trials: list[Trial]) -> list[str]:
    """Each planned trial must be recorded once, and no other."""
    planned = {one.order: one for one in schedule(session)}
    seen: set[int] = set()
    problems = []
    for number, trial in enumerate(trials, 1):
        one = planned.get(trial.order)
        if trial.order in seen:
            problems.append(f"line {number}: trial {trial.order} is there twice")
        seen.add(trial.order)
        if one is None or not one.planned(trial):
            what = f"trial {trial.order} ({trial.arm}, block {trial.block})"
            problems.append(f"line {number}: {what} is not the planned one")
    if missing := len(planned.keys() - seen):
        problems.append(f"{missing} of {len(planned)} trials are still owed")
    return problems


def _recomputed(folder: Path, session: Session, trial: Trial) -> list[str]:
    """Compute the gates and metrics of a trial again. One that crashed left nothing to compute them from."""
    if not trial.metrics:
        return []
    try:
        raw = raw_logs.read(raw_logs.path_of(folder, trial.order), trial.raw)
    except Corrupt as error:
        return [str(error)]
    gates, measured = judged(trial.condition, raw, strict=session.environment.get(GATES) == STRICT)
    metrics = rounded(measured)
    names = sorted(metrics.keys() | trial.metrics.keys())
    told = [
        f"trial {trial.order} has {name} {trial.metrics.get(name)}, its raw log gives {metrics.get(name)}"
        for name in names
        if metrics.get(name) != trial.metrics.get(name)
    ]
    if [(gate.name, gate.passed) for gate in gates] != [(gate.name, gate.passed) for gate in trial.gates]:
        told.append(f"trial {trial.order} has other gates than its raw log gives")
    return told
