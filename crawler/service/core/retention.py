"""Which crawl directories of runs that have ended are removed.

Rules:
- The unit is the directory: a retry goes on in that of the run before, a recrawl makes a generation in it. It is as old
  as the last run in it.
- Never removed: a directory in which a run has not ended, and for each job the one of its last run that succeeded,
  whatever that makes of the bounds. For a job that crawls again, nor is that of its last run, in which the next one
  goes on: a later generation needs those before it. Old generations are dropped there by the crawl itself, as
  `keep_generations` of the job says or else `keep_runs`.
- Age and count are bounds of their own: what is older than `keep_days` goes, and of each job what is beyond the newest
  `keep_runs`. After that the oldest of all jobs go until all directories have at most `keep_bytes` together.
- Without a bound nothing is removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from crawler.service.core.states import FINAL, RunState

_DAY = 86_400.0


class RunOnDisk(NamedTuple):
    """A run, as far as its directory matters. `bytes` of the directory, `ended_at` None where it has not ended.
    `recrawl`: its job crawls again, and this run has done so."""

    run: str
    job: str
    directory: str
    state: RunState
    ended_at: float | None
    bytes: int
    recrawl: bool = False


class RemovalCause(StrEnum):
    """The bound that a directory is beyond."""

    AGE = "age"
    COUNT = "count"
    BYTES = "bytes"


class Removal(NamedTuple):
    """A directory to remove, the runs that lose it, and why."""

    directory: str
    runs: tuple[str, ...]
    cause: RemovalCause


class _Directory(NamedTuple):
    name: str
    jobs: frozenset[str]
    runs: tuple[str, ...]
    ended_at: float
    bytes: int
    kept: bool


def to_remove(
    runs: Iterable[RunOnDisk],
    now: float,
    *,
    keep_runs: int | None = None,
    keep_days: float | None = None,
    keep_bytes: int | None = None,
) -> list[Removal]:
    """What is to be removed, the newest last. None is no bound."""
    directories = _directories(list(runs))
    left = sum(one.bytes for one in directories)
    newer: dict[str, int] = {}  # directories of each job that are newer and stay
    causes: dict[str, RemovalCause] = {}
    for one in reversed(directories):
        if not one.kept and keep_days is not None and one.ended_at < now - keep_days * _DAY:
            causes[one.name] = RemovalCause.AGE
        elif not one.kept and keep_runs is not None and all(newer.get(job, 0) >= keep_runs for job in one.jobs):
            causes[one.name] = RemovalCause.COUNT
        else:
            newer.update((job, newer.get(job, 0) + 1) for job in one.jobs)
            continue
        left -= one.bytes
    for one in directories:
        if keep_bytes is not None and left > keep_bytes and not one.kept and one.name not in causes:
            causes[one.name] = RemovalCause.BYTES
            left -= one.bytes
    return [Removal(one.name, one.runs, causes[one.name]) for one in directories if one.name in causes]


def _directories(runs: list[RunOnDisk]) -> list[_Directory]:
    """The directories of the runs, oldest first; those that are in use come last."""
    last_good: dict[str, RunOnDisk] = {}
    last_recrawl: dict[str, RunOnDisk] = {}
    by_name: dict[str, list[RunOnDisk]] = {}
    for run in sorted(runs, key=_age):
        by_name.setdefault(run.directory, []).append(run)
        if run.state is RunState.SUCCEEDED:
            last_good[run.job] = run
        if run.recrawl and run.state is not RunState.INTERRUPTED:
            last_recrawl[run.job] = run
    needed = {run.directory for run in (*last_good.values(), *last_recrawl.values())}
    found = [
        _Directory(
            name,
            frozenset(run.job for run in here),
            tuple(run.run for run in here),
            max(map(_age, here))[0],
            max(run.bytes for run in here),
            name in needed or any(run.state not in FINAL for run in here),
        )
        for name, here in by_name.items()
    ]
    return sorted(found, key=lambda one: (one.ended_at, one.name))


def _age(run: RunOnDisk) -> tuple[float, str]:
    """Runs in the order of their ends; those that have not ended are the newest."""
    return (float("inf") if run.ended_at is None else run.ended_at, run.run)
