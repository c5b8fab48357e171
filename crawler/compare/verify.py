"""Checks the folder of a comparison: what was fixed before it, its trials, their raw logs, the reports.

Rules, and why:
- Every figure is computed again from the raw logs: trials from logs, reports from trials. One that was changed
  afterwards, in whatever file, differs from what its source gives.
- What cannot be checked is told, never passed over: a report that is not there, a file that is not of a comparison, a
  trial that crashed and left nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crawler.compare import live, preregistration, raw_logs, report, trial
from crawler.compare.design import Planned, schedule
from crawler.compare.records import Session, Trial
from crawler.compare.session import GATES, LOCK, STRICT
from crawler.compare.session_files import SESSION, TRIALS, read_session, read_trials
from crawler.compare.site import CONFIGURATION
from crawler.errors import Corrupt
from crawler.system.invocation import called

OURS = frozenset({LOCK, SESSION, TRIALS, preregistration.FILE})


def verify(folder: Path) -> list[str]:
    """The faults of a comparison, one line each. Raises UsageError, Corrupt."""
    session, trials = read_session(folder), read_trials(folder)
    problems = preregistration.faults(folder, session)
    planned = {one.order: one for one in schedule(session)}
    problems += _unplanned(planned, trials)
    for number, one in sorted(enumerate(trials, 1), key=lambda line: repr(line[1].condition)):  # one oracle at a time
        if one.order in planned:
            found = _recomputed(folder, session, planned[one.order], trials, one)
            problems += [f"line {number}: {problem}" for problem in found]
    return problems + _reports(folder) if trials else problems


def unchecked(folder: Path) -> list[str]:
    """What `verify` says nothing about, one line each. Raises UsageError, Corrupt."""
    trials = read_trials(folder)
    reports = report.contents(folder) if trials else {}
    logs = {raw_logs.path_of(folder, one.order) for one in trials if one.raw}
    copies = frozenset(reports.values())
    missing = [f"{name}: it is not there" for name in reports if not (folder / name).exists()]
    crashed = [f"trial {one.order}: it left no raw log" for one in trials if not one.raw]
    others = [path for path in sorted(folder.rglob("*")) if path.is_file() and path not in logs]
    strange = [
        f"{path.relative_to(folder)}: {'it configures the crawls' if path.name == CONFIGURATION else 'not ours'}"
        for path in others
        if path.relative_to(folder).as_posix() not in OURS | reports.keys() and path.read_bytes() not in copies
    ]
    return missing + crashed + strange


def _reports(folder: Path) -> list[str]:
    """The reports that differ, byte for byte, from what the trials give."""
    return [
        f"{name} is not what the trials say; write it again: {called()} compare report {folder}"
        for name, content in report.contents(folder).items()
        if (folder / name).exists() and (folder / name).read_bytes() != content
    ]


def _unplanned(planned: dict[int, Planned], trials: Sequence[Trial]) -> list[str]:
    """Each planned trial must be recorded once, and no other."""
    seen: set[int] = set()
    problems = []
    for number, one in enumerate(trials, 1):
        plan = planned.get(one.order)
        if one.order in seen:
            problems.append(f"line {number}: trial {one.order} is there twice")
        seen.add(one.order)
        if plan is None or not plan.planned(one):
            what = f"trial {one.order} ({one.arm}, block {one.block})"
            problems.append(f"line {number}: {what} is not the planned one")
    if missing := len(planned.keys() - seen):
        problems.append(f"{missing} of {len(planned)} trials are still owed")
    return problems


def _recomputed(folder: Path, session: Session, planned: Planned, trials: Sequence[Trial], told: Trial) -> list[str]:
    """Make the record of a trial again from its raw log. One that crashed has none."""
    path = raw_logs.path_of(folder, told.order)
    if not told.raw:
        if told.metrics or path.exists():
            return [f"trial {told.order} is recorded without the digest of its raw log"]
        return []
    strict = session.environment.get(GATES) == STRICT
    try:
        if session.site:
            log = raw_logs.read(path, told.raw, live.RawSite)
            ours = live.recorded(planned, log, told.raw, trials, strict=strict)
        else:
            ours = trial.recorded(planned, raw_logs.read(path, told.raw, raw_logs.RawTrial), told.raw, strict=strict)
    except Corrupt as error:
        return [str(error)]
    return _differing(told, ours)


def _differing(told: Trial, ours: Trial) -> list[str]:
    """Where a record is not the one that its raw log gives."""
    names = sorted(ours.metrics.keys() | told.metrics.keys())
    found = [
        f"trial {told.order} has {name} {told.metrics.get(name)}, its raw log gives {ours.metrics.get(name)}"
        for name in names
        if ours.metrics.get(name) != told.metrics.get(name)
    ]
    return found + [
        f"trial {told.order} has other {name} than its raw log gives"
        for name in ("gates", "started_at", "seconds", "ends", "digest")
        if getattr(told, name) != getattr(ours, name)
    ]
