"""A comparison on disk: `session.json` has the plan and the environment, `trials.jsonl` one line per recorded trial.

Rules, and why:
- A trial is written and synced before the next one begins, so no crash loses a measurement.
- Resuming skips recorded trials and repeats none, void or not: repeating until the result is as wished would bias it.
- A session is resumed only in the environment in which it began (crawler.compare.environment).
- One process at a time: the folder is locked.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from time import monotonic, time
from typing import NamedTuple

import msgspec

from crawler.compare.design import LIVE, PRESETS, Planned, schedule
from crawler.compare.environment import environment, unlike
from crawler.compare.gates import WARNING
from crawler.compare.headroom import capacity
from crawler.compare.live import LiveTrials
from crawler.compare.records import Arm, Condition, Session, Site, Trial
from crawler.compare.run_process import Interrupted, Stopped
from crawler.compare.site import configuration_of
from crawler.compare.trial import Rates, raw_rate, run_trial
from crawler.errors import Corrupt, UsageError
from crawler.system.file_lock import FileLock

FORMAT = 1
SESSION, TRIALS, LOCK, WORK = "session.json", "trials.jsonl", "lock", "work"
GATES = "gates"
STRICT, LENIENT = "strict", "lenient: those of the machine only warn"
CORRECTNESS = ("G1", "G2", "G3", "G4", "G6", "G7")


class Progress(NamedTuple):
    """Progress after a trial, or before the first (`trial` None): trials done, of how many, seconds left if known."""

    trial: Trial | None
    done: int
    of: int
    left: float | None


Tell = Callable[[Progress], None]
Run = Callable[[Planned, Path], Trial]
Block = tuple[int, Condition]
Served = tuple[str, int]


def plan(preset: str, arms: tuple[Arm, ...], *, seed: int, command: str, lenient: bool = False) -> Session:
    """A new session of a preset, in the current environment. Raises UsageError."""
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r} (there are: {', '.join(PRESETS)})")
    chosen = PRESETS[preset]
    strict = chosen.strict and not lenient
    return Session(
        format=FORMAT,
        preset=preset,
        seed=seed,
        created_at=time(),
        command=command,
        arms=arms,
        conditions=chosen.conditions,
        blocks=chosen.blocks,
        environment=environment() | {GATES: STRICT if strict else LENIENT},
    )


def plan_on_site(
    site: Site, condition: Condition, arms: tuple[Arm, ...], *, blocks: int, seed: int, command: str, lenient: bool
) -> Session:
    """A new session on a real site."""
    return Session(
        format=FORMAT,
        preset=LIVE,
        seed=seed,
        created_at=time(),
        command=command,
        arms=arms,
        conditions=(condition,),
        blocks={condition.sweep: blocks},
        environment=environment() | {GATES: LENIENT if lenient else STRICT},
        site=site,
    )


def begin(folder: Path, session: Session) -> None:
    """Create the folder of a session. Raises UsageError where it is not empty, OSError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        hint = f"; go on with it: compare resume {folder}" if (folder / SESSION).is_file() else ""
        raise UsageError(f"{folder} is there already{hint}")
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{SESSION}"
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(session)) + b"\n")
    beside.replace(folder / SESSION)


def read_session(folder: Path) -> Session:
    """The session of a folder. Raises UsageError where there is none, Corrupt where it cannot be read."""
    try:
        session = msgspec.json.decode((folder / SESSION).read_bytes(), type=Session)
    except OSError as error:
        raise UsageError(f"{folder} is not a comparison: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise Corrupt(f"{folder / SESSION} cannot be read: {error}") from error
    if session.format != FORMAT:
        raise UsageError(f"{folder} has format {session.format}; this version reads {FORMAT}")
    return session


def read_trials(folder: Path) -> list[Trial]:
    """The recorded trials; a last line cut short by a kill is ignored. Raises Corrupt."""
    path = folder / TRIALS
    whole, _, _ = (path.read_bytes() if path.exists() else b"").rpartition(b"\n")
    decode = msgspec.json.Decoder(Trial).decode
    try:
        return [decode(line) for line in whole.split(b"\n") if line]
    except msgspec.DecodeError as error:
        raise Corrupt(f"{path} cannot be read: {error}") from error


def conduct(folder: Path, *, stopped: Stopped = lambda: False, tell: Tell = lambda progress: None) -> bool:
    """Run the missing trials of a session; returns whether all are recorded now. `stopped` is polled: True ends it
    early.

    Raises UsageError where the environment has changed, Locked, CrawlerError, OSError.
    """
    session = read_session(folder)
    with _locked(folder):
        here = environment() | {GATES: session.environment.get(GATES, STRICT)}
        if differing := unlike(session.environment, here):
            raise UsageError(f"{folder} was begun elsewhere and unlike trials are not mixed: {'; '.join(differing)}")
        _drop_half_a_line(folder / TRIALS)
        there = {trial.order: trial for trial in read_trials(folder)}
        planned = schedule(session)
        owed = [one for one in planned if one.order not in there]
        run = _runner(session, folder, there, stopped)
        pace = _Pace()
        tell(Progress(None, len(there), len(planned), pace.left(owed)))
        for place, one in enumerate(owed):
            began = monotonic()
            try:
                with _empty(folder / WORK):
                    trial = there[one.order] = run(one, folder / WORK)
            except Interrupted:
                return False
            _append(folder / TRIALS, trial)
            pace.took(one.condition, monotonic() - began)
            tell(Progress(trial, len(there), len(planned), pace.left(owed[place + 1 :])))
            if stopped():
                return place + 1 == len(owed)
    return True


def verify(folder: Path) -> list[str]:
    """The faults in the records of a session, one line each: each planned trial must be recorded once, and no other."""
    planned = {one.order: one for one in schedule(read_session(folder))}
    seen: set[int] = set()
    problems = []
    for number, trial in enumerate(read_trials(folder), 1):
        one = planned.get(trial.order)
        if trial.order in seen:
            problems.append(f"line {number}: trial {trial.order} is there twice")
        seen.add(trial.order)
        if one is None or (one.arm.name, one.block, one.condition, one.warm_up) != (
            *(trial.arm, trial.block, trial.condition, trial.warm_up),
        ):
            problems.append(
                f"line {number}: trial {trial.order} ({trial.arm}, block {trial.block}) is not the planned one"
            )
    if owed := len(planned.keys() - seen):
        problems.append(f"{owed} of {len(planned)} trials are still owed")
    return problems


def void(trial: Trial) -> list[str]:
    """Why a trial is void, one line per failed gate."""
    return [f"{gate.name} {gate.detail}" for gate in trial.gates if not gate.passed]


def warned(trials: Iterable[Trial]) -> list[str]:
    """The gates of the machine that only warned, one line each: how often, and the detail of the first."""
    found: dict[str, list[str]] = {}
    for trial in trials:
        for gate in trial.gates:
            if gate.passed and gate.detail.startswith(WARNING):
                found.setdefault(gate.name, []).append(gate.detail.removeprefix(WARNING))
    return [f"{name} in {len(details)} trials: {details[0]}" for name, details in sorted(found.items())]


def wrong(trial: Trial) -> bool:
    """Whether it failed a gate of correctness, which is the crawler's fault, not the machine's."""
    return any(gate.name in CORRECTNESS and not gate.passed for gate in trial.gates)


def _runner(session: Session, folder: Path, there: Mapping[int, Trial], stopped: Stopped) -> Run:
    """The function that runs a trial in an empty folder: on our own webs, or on the site of the session."""
    strict = session.environment.get(GATES) == STRICT
    if session.site:
        delay = session.conditions[0].delay
        live = LiveTrials(session.site, configuration_of(session.site, folder), delay, session.seed, strict)

        def on_site(one: Planned, work: Path) -> Trial:
            peers = [trial for trial in there.values() if (trial.block, trial.condition) == (one.block, one.condition)]
            return live.run(one, work, peers, stopped)

        return on_site
    beside = _Beside(there.values())

    def on_web(one: Planned, work: Path) -> Trial:
        rates = beside.measure(one, session.seed, work, stopped)
        return run_trial(one, work, seed=session.seed, rates=rates, strict=strict, stopped=stopped)

    return on_web


class _Beside:
    """Rates measured once for several trials: the raw loop in each block, the server's capacity for each page size.
    Starts with those recorded in earlier trials."""

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._raw: dict[Block, float | None] = {}
        self._server: dict[Served, float | None] = {}
        for trial in trials:
            if trial.metrics:
                self._raw[trial.block, trial.condition] = trial.metrics.get("raw_rate")
                self._server[_served(trial.condition)] = trial.metrics.get("server_rate")

    def measure(self, one: Planned, seed: int, work: Path, stopped: Stopped) -> Rates:
        """The rates for a trial, measured where they are unknown. Raises Interrupted, CrawlerError."""
        block, served = (one.block, one.condition), _served(one.condition)
        if served not in self._server:
            with _empty(work / "load") as folder:
                self._server[served] = capacity(one.condition, folder)
        if block not in self._raw:
            with _empty(work / "raw") as folder:
                self._raw[block] = raw_rate(one.condition, folder, seed=seed + one.order, stopped=stopped)
        return Rates(self._raw[block], self._server[served])


def _served(condition: Condition) -> Served:
    return condition.workload, condition.payload


class _Pace:
    """Estimates the time left from the durations of each condition so far."""

    def __init__(self) -> None:
        self._took: dict[Condition, list[float]] = {}

    def took(self, condition: Condition, seconds: float) -> None:
        self._took.setdefault(condition, []).append(seconds)

    def left(self, owed: list[Planned]) -> float | None:
        if not self._took:
            return None
        usual = fmean(seconds for took in self._took.values() for seconds in took)
        return sum(fmean(self._took.get(one.condition, [usual])) for one in owed)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK)
    lock.acquire(str(folder))
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _empty(work: Path) -> Iterator[Path]:
    """An empty folder, removed afterwards."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _drop_half_a_line(path: Path) -> None:
    """Remove a last line cut short by a kill; its trial runs again."""
    if path.exists():
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            os.truncate(path, len(whole))


def _append(path: Path, trial: Trial) -> None:
    with path.open("ab") as file:
        file.write(msgspec.json.encode(trial) + b"\n")
        file.flush()
        os.fsync(file.fileno())
