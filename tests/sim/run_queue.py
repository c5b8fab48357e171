"""The runs of a service on a virtual clock: whatever people, children, disks and kills do, in any order.

`RunQueue(seed).run()` plays some hundred steps and checks after each: no two children may ask the same host or work in
one directory; no more children than allowed; nobody overtakes a run that it shares hosts with; a run that has ended
stays as it is; retention leaves what is in use, and the last success of each job. At last everything is let go: every
run ends.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations

from crawler.core.reasons import Ending
from crawler.service.core.expectations import judged, retry_wait, unmet
from crawler.service.core.retention import RunOnDisk, to_remove
from crawler.service.core.run_admission import QueuedRun, RunReach, admit, reach_of
from crawler.service.core.states import (
    ACTIVE,
    FINAL,
    ChildEnd,
    RunEvent,
    RunReason,
    RunState,
    StateChange,
    event_of,
    transition,
)

HOSTS = [f"https://{sub}{name}.example/" for name in "abcdef" for sub in ("", "www.", "shop.")]
MOST_QUEUED = 12


@dataclass
class SimRun:
    """A run as the database has it, and whether it has a child."""

    number: int
    job: str
    directory: str
    reach: RunReach
    attempt: int = 1
    not_before: float = 0.0
    state: RunState = RunState.QUEUED
    reason: RunReason | None = None
    crashes: int = 0
    child: bool = False
    ended_at: float | None = None


@dataclass
class RunQueue:
    """`dice` decides everything, so a failing seed can be replayed."""

    seed: int
    runs: list[SimRun] = field(default_factory=list)
    now: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.most = self.dice.randint(1, 5)
        scopes = ["host", "site", "site", "domain", "any"]
        self._jobs = {
            f"job {number}": reach_of(self.dice.sample(HOSTS, self.dice.randint(0, 3)), self.dice.choice(scopes))
            for number in range(self.dice.randint(1, 8))
        }
        self._disk_full = False
        self._created = 0

    def run(self, steps: int = 400) -> Counter[str]:
        """Play. Returns how often each state was entered."""
        kinds: list[tuple[int, Callable[[], None]]] = [
            *((6, self._arrive), (16, self._hear_of_a_child), (4, self._ask), (1, self._disk)),
            *((1, self._restart), (1, self._retain)),
        ]
        for _ in range(steps):
            self.now += self.dice.expovariate(1 / 60)
            self.dice.choices([act for _, act in kinds], [weight for weight, _ in kinds])[0]()
            self._admit()
            self._check()
        self._let_all_end()
        return self.counts

    def _active(self) -> list[SimRun]:
        return [run for run in self.runs if run.state in ACTIVE]

    # ---- what happens ------------------------------------------------------------------------------------------------

    def _arrive(self) -> None:
        if sum(run.state is RunState.QUEUED for run in self.runs) < MOST_QUEUED:
            job = self.dice.choice(list(self._jobs))
            number, before = len(self.runs), [run for run in self.runs if run.job == job]
            self._created += 1
            shared = before and self.dice.random() < 0.2  # a recrawl goes on in the directory of the run before
            directory = before[-1].directory if shared else f"runs/{self._created}"
            self.runs.append(SimRun(number, job, directory, self._jobs[job]._replace(directory=directory)))

    def _hear_of_a_child(self) -> None:
        living = [run for run in self.runs if run.child]
        if not living:
            return
        run = self.dice.choice(living)
        if run.state is RunState.STARTING and self.dice.random() < 0.7:
            self._apply(run, RunEvent.STARTED)
        elif run.state is RunState.STOPPING or self.dice.random() < 0.5:
            self._child_ends(run, self._some_end(run))

    def _some_end(self, run: SimRun) -> ChildEnd:
        if run.state is RunState.STOPPING and self.dice.random() < 0.7:
            return ChildEnd(Ending.STOPPED, 130)
        signal = self.dice.choice([None, None, None, 9, 11])
        ending = None if signal or self.dice.random() < 0.1 else self.dice.choice(list(Ending))
        return ChildEnd(ending, None if signal else self.dice.choice([0, 0, 1, 2, 3, 4, 143]), signal)

    def _child_ends(self, run: SimRun, end: ChildEnd) -> None:
        run.child = False
        event, reason = event_of(end)
        pages = self.dice.choice([0, 5, 50])
        missed = unmet(pages, {"ok": pages, "timeout": 1}, None, min_pages=10, max_error_share=0.5)
        event, reason = judged(event, reason, missed, fail=self.dice.random() < 0.3)
        run.crashes = 0 if pages or run.state is RunState.STOPPING else run.crashes + 1
        self._apply(run, event, reason)
        wait = retry_wait(run.state, end.exit_code, run.attempt, attempts=2)
        if wait is not None:
            again = SimRun(len(self.runs), run.job, run.directory, run.reach, run.attempt + 1, self.now + wait)
            self.runs.append(again)

    def _ask(self) -> None:
        """A person or a schedule asks for something, whatever the state."""
        if self.runs:
            events = [RunEvent.PAUSE, RunEvent.RESUME, RunEvent.STOP, RunEvent.CANCEL, RunEvent.SKIP]
            self._apply(self.dice.choice(self.runs[-30:]), self.dice.choice(events))

    def _disk(self) -> None:
        self._disk_full = not self._disk_full
        for run in self.runs:
            self._apply(run, RunEvent.DISK_FULL if self._disk_full else RunEvent.DISK_FREE)

    def _restart(self) -> None:
        """The service is killed, and its children with it; the next one starts."""
        for run in self._active():
            run.child = False
            change = self._apply(run, RunEvent.LOST if self.dice.random() < 0.02 else RunEvent.SERVICE_STARTED)
            assert isinstance(change, StateChange), run
        self.counts["restarts"] += 1

    def _retain(self) -> None:
        on_disk = [
            RunOnDisk(f"{run.number:06}", run.job, run.directory, run.state, run.ended_at, 100) for run in self.runs
        ]
        gone = {one.directory for one in to_remove(on_disk, self.now, keep_runs=2, keep_days=0.1, keep_bytes=1500)}
        assert not gone & {run.directory for run in self._active()}
        for job in self._jobs:
            good = [run for run in self.runs if run.job == job and run.state is RunState.SUCCEEDED]
            if good:
                assert max(good, key=lambda run: (run.ended_at or 0.0, run.number)).directory not in gone
        self.runs = [run for run in self.runs if run.directory not in gone or run.state in ACTIVE]
        for number, run in enumerate(self.runs):
            run.number = number

    def _apply(self, run: SimRun, event: RunEvent, reason: RunReason | None = None) -> object:
        before = run.state
        change = transition(run.state, event, reason, before=run.reason, child=run.child, crashes=run.crashes)
        if isinstance(change, StateChange):
            assert before not in FINAL, f"seed {self.seed}: {run} has ended"
            run.state, run.reason = change
            if run.state in FINAL:
                run.ended_at = self.now
            self.counts[run.state.value] += 1
            if run.child and event in (RunEvent.DISK_FREE, RunEvent.RESUME):
                assert run.state is RunState.RUNNING
        return change

    # ---- admission and what must hold --------------------------------------------------------------------------------

    def _admit(self) -> None:
        if self._disk_full:
            return
        queued = [run for run in self.runs if run.state is RunState.QUEUED]
        waiting = [QueuedRun(str(run.number), run.reach, run.not_before) for run in queued]
        running = [run.reach for run in self.runs if run.child]
        found = admit(waiting, running, self.most, self.now)
        for name in found.start:
            run = self.runs[int(name)]
            assert run.not_before <= self.now
            for other in queued:
                before, ready = other.number < run.number, other.not_before <= self.now
                shared = other.reach.overlaps(run.reach) if ready else other.directory == run.directory
                assert not (before and shared), f"seed {self.seed}: {run} overtakes {other}"
            self._apply(run, RunEvent.START)
            run.child = True
        held, free = list[RunReach](), list[SimRun]()  # what waits for a time holds up those behind it
        for run in queued:
            if run.not_before > self.now:
                held.append(RunReach(directory=run.directory))
            elif any(run.reach.overlaps(other) for other in held):
                held.append(run.reach)
            else:
                free.append(run)
        assert found.start or running or not free, f"seed {self.seed}: nothing runs and nothing starts"
        later = [run.not_before for run in queued if run.not_before > self.now]
        assert found.wake_at == min(later, default=None)

    def _check(self) -> None:
        living = [run for run in self.runs if run.child]
        assert len(living) <= self.most
        for one, other in combinations(living, 2):
            assert not one.reach.overlaps(other.reach), f"seed {self.seed}: {one} beside {other}"
        for run in self.runs:
            assert (run.ended_at is not None) == (run.state in FINAL)
            assert not (run.child and run.state in FINAL | {RunState.QUEUED}), f"seed {self.seed}: {run}"
            assert run.child or run.state not in (RunState.STARTING, RunState.RUNNING, RunState.STOPPING)

    def _let_all_end(self) -> None:
        """With room on the disk and nobody asking for anything, every run ends."""
        if self._disk_full:
            self._disk()
        for _ in range(len(self.runs) * 20):
            self.now += 3600
            for run in self._active():
                if run.state is RunState.PAUSED:
                    self._apply(run, RunEvent.RESUME)
                elif run.child:
                    self._child_ends(run, ChildEnd(Ending.COMPLETE, 0))
            self._admit()
            self._check()
            if not self._active():
                return
        raise AssertionError(f"seed {self.seed}: {self._active()} never end")
