"""What becomes of the ticks of a schedule: a run, or a row that says why not.

Rules:
- A schedule remembers one thing: the last due time that was decided. What is due is later than that and not later than
  now, so the clock may jump: forward, and the ticks between are missed ones; backward, and nothing is decided twice.
  After a jump back, `behind` tells how far the clock is behind what was decided; until it is there no tick is due.
- A decision and its runs are written in one transaction, with (schedule, due) unique. A process that dies before that
  has decided nothing, and the next one decides the same.
- Only the next tick is known in advance. When it is to be decided follows from the schedule and from what it remembers,
  not from the present: a timetable that keeps these times stays right however the clock jumps.
- Each tick is put off by its jitter, a hash of (schedule, due); ticks are decided in their order.
- A tick is late from `catchup` seconds on, or GRACE where that is more: the loop of a busy machine is no outage. Jitter
  does not count as lateness.
- Of several ticks that are due at once the last one runs, if it is not late; the others of its window are `coalesced`,
  late ones are `catchup`. Up to MOST_ROWS of each reason have rows of their own; more have one row, which counts them.
- The ticks of a schedule that is paused have rows, too: `paused_schedule`.
- Overlap, where a run of the schedule has not ended: `skip` writes `overlap`; `queue` lets the run wait, at most
  MOST_WAITING of a schedule; `cancel` ends the run before; `allow` does not look. Runs that ask the same hosts still
  wait for each other, see run_admission.py. A full queue makes any tick `queue_full`.
"""

from __future__ import annotations

from math import ceil
from typing import Literal, NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.service.core.schedules import Calendar, calendar_of
from crawler.service.core.states import RunReason

GRACE = 10.0
MOST_ROWS = 100
MOST_WAITING = 10


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule is due and what happens then; `catchup` and `jitter` in seconds."""

    cron: str
    zone: str = "UTC"
    overlap: Literal["skip", "queue", "cancel", "allow"] = "skip"
    catchup: float = 3600.0
    jitter: float = 0.0
    paused: bool = False


class Load(NamedTuple):
    """What is there when a schedule is decided: its runs that have not ended, how many of these are queued, and how
    many more runs of anyone the queue takes."""

    active: int = 0
    waiting: int = 0
    room: int = 1


class Due(NamedTuple):
    """One row: a tick that becomes a run, or, with a `reason`, one that does not. `missed`: the number of ticks that
    the row stands for; then `due` is the last of them."""

    due: int
    reason: RunReason | None = None
    missed: int = 1


class Upcoming(NamedTuple):
    """A tick that was not decided yet, and when it is to be; None where there is none."""

    due: int | None
    wake_at: float | None


class Decision(NamedTuple):
    """What is to be written, in order of due times; at most the last one runs.

    `decided`: the new last due time that is decided; `next_due`: the tick after it and `wake_at` when that is to be
    decided, None where there is none; `cancel`: the runs before are to be ended; `behind`: seconds.
    """

    ticks: tuple[Due, ...]
    decided: int
    next_due: int | None
    wake_at: float | None
    cancel: bool = False
    behind: float = 0.0


def jitter(schedule: str, due: int, most: float) -> int:
    """By how many whole seconds a tick is put off, at most `most`; always the same for the same tick."""
    return xxh3_64_intdigest(f"{schedule} {due}".encode()) % (int(most) + 1)


def decide(schedule: str, timing: Timing, decided: int, now: float, load: Load) -> Decision:
    """Decide every tick that is due. `schedule` is its id, `decided` the last due time decided before; a new schedule
    begins with its creation. Raises BadSchedule where the zone is not known any more."""
    calendar = calendar_of(timing.cron, timing.zone)
    last, number, following = _ripe(schedule, timing, calendar, decided, now)
    ticks, cancel = list[Due](), False
    if timing.paused:
        ticks += _skipped(calendar, decided, last, RunReason.PAUSED_SCHEDULE)
    elif number:
        fresh = ceil(now - max(timing.catchup, GRACE) - timing.jitter)  # the oldest due time that is not late
        late = max(decided, min(last, fresh - 1))
        if number > 1 or late == last:  # mostly one tick is due, in time: then there is nothing to skip
            ticks += _skipped(calendar, decided, late, RunReason.CATCHUP)
            ticks += _skipped(calendar, late, last - 1, RunReason.COALESCED)
        if last > late:
            reason = _refused(timing, load)
            ticks.append(Due(last, reason))
            cancel = reason is None and timing.overlap == "cancel" and load.active > 0
    return Decision(tuple(ticks), last, following.due, following.wake_at, cancel, max(0.0, last - now))


def upcoming(schedule: str, timing: Timing, decided: int) -> Upcoming:
    """The first tick later than `decided`. Raises BadSchedule, see `decide`."""
    return _upcoming(schedule, timing, calendar_of(timing.cron, timing.zone), decided)


def _upcoming(schedule: str, timing: Timing, calendar: Calendar, decided: int) -> Upcoming:
    due = calendar.after(decided)
    if due is None:
        return Upcoming(None, None)
    return Upcoming(due, float(due + (jitter(schedule, due, timing.jitter) if timing.jitter else 0)))


def _ripe(schedule: str, timing: Timing, calendar: Calendar, decided: int, now: float) -> tuple[int, int, Upcoming]:
    """The last tick that is to be decided, or `decided`; how many these are, where not more than MOST_ROWS; and the one
    after them."""
    last, number = decided, 0
    while True:
        following = _upcoming(schedule, timing, calendar, last)
        if following.due is None or following.wake_at is None or following.wake_at > now:
            return last, number, following
        last, number = following.due, number + 1
        if (
            number == MOST_ROWS
        ):  # whatever its jitter, a tick that is older than now by the most jitter is to be decided
            last = calendar.latest(last, int(now - timing.jitter)) or last


def _skipped(calendar: Calendar, after: int, until: int, reason: RunReason) -> list[Due]:
    """The rows of the ticks later than `after` and not later than `until`."""
    rows, last = list[Due](), after
    while last < until and (due := calendar.after(last)) is not None and due <= until:
        if len(rows) == MOST_ROWS:
            newest = calendar.latest(after, until)
            return [Due(newest or due, reason, calendar.count(after, until))]
        rows.append(Due(due, reason))
        last = due
    return rows


def _refused(timing: Timing, load: Load) -> RunReason | None:
    """Why a tick that is in time does not run."""
    if timing.overlap == "skip" and load.active:
        return RunReason.OVERLAP
    if load.room <= 0 or (timing.overlap == "queue" and load.waiting >= MOST_WAITING):
        return RunReason.QUEUE_FULL
    return None
