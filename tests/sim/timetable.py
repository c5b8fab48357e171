"""A timetable on a virtual clock: schedules in many zones, runs that take their time, outages, kills between a decision
and its commit, pauses, and a clock that jumps.

`Timetable(seed, schedules, years).run()` checks after every decision:

- each (schedule, due) is decided once, and the rows are exactly the ticks that cronsim knows, none left out;
- a run or a reason for each, and the reason is the true one;
- with nothing disturbed in between, each tick is decided by itself, at its time.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field

from msgspec.structs import replace

from crawler.service.core.scheduler import GRACE, MOST_ROWS, MOST_WAITING, Decision, Due, Load, Timing, decide, jitter
from crawler.service.core.states import RunReason
from tests.sim.cron_oracle import tick_list

BEGIN = 1_767_225_600  # 2026-01-01, UTC
HOUR, DAY, YEAR = 3600.0, 86_400.0, 31_556_952.0
LINES = {
    5: ("0 3 * * *", "30 2 * * *", "15 2 * * *", "45 1 * * *", "0 0 * * *", "30 23 * * *", "59 23 * * MON-FRI"),
    3: ("0 4 * * SUN", "30 2 * * SUN", "0 1 * * 6L", "0 6 1 * *", "0 2 L * *", "15 2 1-7 * SUN", "0 0 13 * FRI"),
    2: ("0 2,3 * * *", "0 */6 * * *", "30 1,2,3 * * *", "0 7 29 2 *", "0 5 1 JAN,JUL *"),
}
"""Cron lines by how often each is drawn; lines that go on by elapsed time are drawn apart."""
FREQUENT = ("0 * * * *", "*/30 * * * *", "15 * * * *", "0,15,30,45 8-18 * * *")
ZONES = (
    *("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Santiago", "America/Nuuk", "Africa/Cairo"),
    *("America/Havana", "Asia/Beirut", "Asia/Kolkata", "Atlantic/Azores", "Australia/Sydney", "Pacific/Chatham"),
    *("Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"),
)


@dataclass
class SimSchedule:
    """One schedule, with the rows that the database has for it. `undisturbed`: since the last decision."""

    key: str
    timing: Timing
    decided: int
    wake_at: float | None
    rows: set[int] = field(default_factory=set)
    run_until: list[float] = field(default_factory=list)
    undisturbed: bool = True

    def __post_init__(self) -> None:
        self._ticks = tick_list(self.timing.cron, self.timing.zone, BEGIN)
        self._place = self._ticks.place_after(self.decided)
        self.expected = self._ticks.at(self._place)

    def expected_until(self, until: int) -> list[int]:
        """The ticks that must have been decided now, and had not been before."""
        found = list[int]()
        while self.expected is not None and self.expected <= until:
            found.append(self.expected)
            self._place += 1
            self.expected = self._ticks.at(self._place)
        return found


@dataclass
class Timetable:
    """Schedules over virtual years. `dice` decides everything, so a failing seed can be replayed. Every `calm` seconds
    on average something is disturbed; a share of `frequent` schedules is due every hour or more often."""

    seed: int
    schedules: int
    years: float
    calm: float = 20 * DAY
    frequent: float = 0.02
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.true_time = BEGIN + self.dice.uniform(0, YEAR)  # as it is; the clock may differ
        self.clock_error = 0.0
        self._end = self.true_time + self.years * YEAR
        self._all = [self._draw(number) for number in range(self.schedules)]
        self._wakes = [(one.wake_at, number) for number, one in enumerate(self._all) if one.wake_at is not None]
        heapq.heapify(self._wakes)

    @property
    def now(self) -> float:
        """What the clock shows."""
        return self.true_time + self.clock_error

    def run(self) -> Counter[str]:
        """Play to the end. Returns how much of each kind there was: runs, reasons, disturbances."""
        disturbed_at = self.true_time + self.dice.expovariate(1 / self.calm)
        while self._wakes and self.true_time < self._end:
            wake_at, number = self._wakes[0]
            due_at = max(self.true_time, wake_at - self.clock_error)
            if disturbed_at < due_at:
                self.true_time = disturbed_at
                self._disturb()
                disturbed_at = self.true_time + self.dice.expovariate(1 / self.calm)
                continue
            self.true_time = due_at
            if self.dice.random() < 0.002:
                self._kill_before_the_commit(self._all[number])
                continue
            heapq.heappop(self._wakes)
            self._decide(self._all[number])
            if (again := self._all[number].wake_at) is not None:
                heapq.heappush(self._wakes, (again, number))
        return self.counts

    def _draw(self, number: int) -> SimSchedule:
        dice, zone = self.dice, self.dice.choice(ZONES)
        lines = LINES[dice.choices(list(LINES), list(LINES))[0]]
        if dice.random() < self.frequent:
            lines = (
                FREQUENT[-1:] if zone == "Australia/Lord_Howe" else FREQUENT
            )  # cronsim errs there, see test_schedules
        timing = Timing(
            cron=dice.choice(lines),
            zone=zone,
            overlap=dice.choice(["skip", "skip", "queue", "cancel", "allow"]),
            catchup=dice.choice([0.0, 60.0, HOUR, HOUR, DAY, 30 * DAY]),
            jitter=dice.choice([0.0, 0.0, 30.0, 599.5]),
            paused=dice.random() < 0.02,
        )
        decided = int(self.now)
        first = decide(f"sch_{self.seed}_{number}", timing, decided, self.now, Load())
        assert not first.ticks
        return SimSchedule(f"sch_{self.seed}_{number}", timing, decided, first.wake_at)

    # ---- what goes wrong ---------------------------------------------------------------------------------------------

    def _disturb(self) -> None:
        kind = self.dice.choice(["outage", "outage", "ahead", "back", "back", "set", "pause"])
        length = 10 ** self.dice.uniform(0, 6.5)  # a second to a month
        if self.dice.random() < 0.02:
            length *= 12
        if kind == "outage":
            self.true_time += length
        elif kind == "ahead":
            self.clock_error += length
        elif kind == "back":
            self.clock_error -= length
        elif kind == "set":
            self.clock_error = 0.0
        else:
            one = self.dice.choice(self._all)
            self._decide(one)
            one.timing = replace(one.timing, paused=not one.timing.paused)
        self.counts[kind] += 1
        for one in self._all:
            one.undisturbed = False

    def _kill_before_the_commit(self, one: SimSchedule) -> None:
        """A decision is lost with its process; the next process starts some time later."""
        decide(one.key, one.timing, one.decided, self.now, self._load(one))
        self.true_time += self.dice.expovariate(1 / 20)
        self.counts["kill"] += 1
        for other in self._all:
            other.undisturbed = False

    # ---- decisions and what must hold --------------------------------------------------------------------------------

    def _load(self, one: SimSchedule) -> Load:
        active = sum(until > self.true_time for until in one.run_until)
        return Load(active, max(0, active - 1), 0 if self.dice.random() < 0.001 else 5)

    def _decide(self, one: SimSchedule) -> None:
        load, now = self._load(one), self.now
        decision = decide(one.key, one.timing, one.decided, now, load)
        self._check(one, decision, load, now)
        for tick in decision.ticks:
            one.rows.add(tick.due)
            self.counts[tick.reason.value if tick.reason else "run"] += tick.missed
        if decision.ticks and decision.ticks[-1].reason is None:
            one.run_until = [until for until in one.run_until if until > self.true_time and not decision.cancel]
            one.run_until.append(self.true_time + self.dice.expovariate(1 / self.dice.choice([600, 600, 600, 2 * DAY])))
        one.decided, one.wake_at, one.undisturbed = decision.decided, decision.wake_at, True

    def _check(self, one: SimSchedule, decision: Decision, load: Load, now: float) -> None:
        def told() -> str:
            return f"seed {self.seed}: {one.key} {one.timing} at {now}: {decision}"

        expected, place = one.expected_until(decision.decided), 0
        assert decision.decided >= one.decided, told()
        assert len(decision.ticks) <= 2 * MOST_ROWS + 1, told()
        for tick in decision.ticks:
            place += tick.missed
            assert tick.due not in one.rows, f"decided twice: {told()}"
            assert place <= len(expected) and expected[place - 1] == tick.due, f"not the ticks of cronsim: {told()}"
        assert place == len(expected), f"left out without a row: {told()}"
        assert decision.next_due == one.expected, told()
        if one.expected is not None:
            assert decision.wake_at == one.expected + jitter(one.key, one.expected, one.timing.jitter) > now, told()
        assert decision.behind == max(0.0, decision.decided - now), told()
        for tick in decision.ticks:
            assert tick.reason is _reason(one.timing, tick, decision, load, now), told()
        if one.undisturbed and decision.ticks:
            assert [tick.missed for tick in decision.ticks] == [1], f"missed though nothing was disturbed: {told()}"
            assert decision.ticks[0].reason not in (RunReason.CATCHUP, RunReason.COALESCED), told()
        running = decision.ticks and decision.ticks[-1].reason is None
        assert decision.cancel == bool(running and one.timing.overlap == "cancel" and load.active), told()


def _reason(timing: Timing, tick: Due, decision: Decision, load: Load, now: float) -> RunReason | None:
    """The reason that a row must have, None for a run."""
    if timing.paused:
        return RunReason.PAUSED_SCHEDULE
    if now - tick.due > max(timing.catchup, GRACE) + timing.jitter:
        return RunReason.CATCHUP
    if tick != decision.ticks[-1]:
        return RunReason.COALESCED
    if timing.overlap == "skip" and load.active:
        return RunReason.OVERLAP
    waits_too_long = timing.overlap == "queue" and load.waiting >= MOST_WAITING
    return RunReason.QUEUE_FULL if load.room == 0 or waits_too_long else None
