"""What becomes of the ticks of a schedule."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from crawler.service.core.scheduler import (
    GRACE,
    MOST_ROWS,
    MOST_WAITING,
    Decision,
    Due,
    Load,
    Timing,
    Upcoming,
    decide,
    jitter,
    upcoming,
)
from crawler.service.core.schedules import BadSchedule, calendar_of
from crawler.service.core.states import RunReason
from tests.effort import effort

HOUR, DAY = 3600, 86_400
BEGIN = 20_000 * DAY  # midnight, UTC
DAILY = Timing(cron="0 0 * * *")
HOURLY = Timing(cron="0 * * * *")
MINUTELY = Timing(cron="* * * * *")
OVERLAP, FULL = RunReason.OVERLAP, RunReason.QUEUE_FULL
LATE, COALESCED, PAUSED = RunReason.CATCHUP, RunReason.COALESCED, RunReason.PAUSED_SCHEDULE


def ask(timing: Timing, now: float, decided: int = BEGIN, load: Load | None = None) -> Decision:
    return decide("sch_1", timing, decided, now, load or Load())


def test_before_its_time_nothing_is_due_and_the_wake_time_is_told() -> None:
    assert ask(DAILY, BEGIN + DAY - 0.1) == Decision((), BEGIN, BEGIN + DAY, float(BEGIN + DAY))


def test_when_the_next_tick_is_to_be_decided_is_known_without_the_time() -> None:
    late = Timing(cron="0 0 * * *", jitter=600)
    found = upcoming("sch_1", late, BEGIN)
    decision = ask(late, BEGIN)
    assert (
        found
        == Upcoming(decision.next_due, decision.wake_at)
        == Upcoming(BEGIN + DAY, BEGIN + DAY + jitter("sch_1", BEGIN + DAY, 600))
    )
    assert upcoming("sch_1", DAILY, 10**15) == Upcoming(None, None)


def test_a_tick_runs_at_its_time_and_the_next_one_is_told() -> None:
    assert ask(DAILY, BEGIN + DAY) == Decision(
        (Due(BEGIN + DAY),), BEGIN + DAY, BEGIN + 2 * DAY, float(BEGIN + 2 * DAY)
    )


def test_what_is_decided_is_not_due_again() -> None:
    assert ask(DAILY, BEGIN + DAY + 5, BEGIN + DAY).ticks == ()


def test_a_tick_inside_the_window_still_runs() -> None:
    assert ask(DAILY, BEGIN + DAY + HOUR).ticks == (Due(BEGIN + DAY),)


def test_a_tick_beyond_the_window_is_a_row_that_says_so() -> None:
    late = ask(DAILY, BEGIN + DAY + HOUR + 1)
    assert late.ticks == (Due(BEGIN + DAY, LATE),)
    assert late.decided == BEGIN + DAY


def test_without_a_window_a_busy_machine_is_no_outage() -> None:
    strict = Timing(cron="0 0 * * *", catchup=0)
    assert ask(strict, BEGIN + DAY + GRACE).ticks == (Due(BEGIN + DAY),)
    assert ask(strict, BEGIN + DAY + GRACE + 1).ticks == (Due(BEGIN + DAY, LATE),)


def test_missed_ticks_of_the_window_become_one_run() -> None:
    every_quarter = Timing(cron="*/15 * * * *", catchup=2000)
    quarters = [BEGIN + 900 * number for number in range(1, 9)]
    assert ask(every_quarter, BEGIN + 2 * HOUR).ticks == (
        *(Due(due, LATE) for due in quarters[:5]),
        *(Due(due, COALESCED) for due in quarters[5:7]),
        Due(quarters[7]),
    )


def test_after_a_long_time_each_reason_has_one_row_that_counts() -> None:
    last = BEGIN + 600_000_000
    decision, units = effort(lambda: ask(MINUTELY, last))
    assert units < 4000
    assert decision.ticks == (
        Due(last - HOUR - 60, LATE, 10_000_000 - 61),
        *(Due(last - HOUR + 60 * number, COALESCED) for number in range(60)),
        Due(last),
    )
    wide = Timing(cron="* * * * *", catchup=30 * DAY)
    assert ask(wide, last).ticks == (
        Due(last - 30 * DAY - 60, LATE, 10_000_000 - 43_201),
        Due(last - 60, COALESCED, 43_200),
        Due(last),
    )


def test_as_many_rows_as_are_allowed_are_single_ones() -> None:
    at_most = ask(HOURLY, BEGIN + (MOST_ROWS + 2) * HOUR - 1).ticks
    assert at_most == (
        *(Due(BEGIN + number * HOUR, LATE) for number in range(1, MOST_ROWS + 1)),
        Due(BEGIN + (MOST_ROWS + 1) * HOUR),
    )
    one_more = ask(HOURLY, BEGIN + (MOST_ROWS + 3) * HOUR - 1).ticks
    assert one_more == (
        Due(BEGIN + (MOST_ROWS + 1) * HOUR, LATE, MOST_ROWS + 1),
        Due(BEGIN + (MOST_ROWS + 2) * HOUR),
    )


def test_a_paused_schedule_says_so_for_each_tick() -> None:
    paused = Timing(cron="0 * * * *", paused=True)
    assert ask(paused, BEGIN + 2 * HOUR).ticks == (Due(BEGIN + HOUR, PAUSED), Due(BEGIN + 2 * HOUR, PAUSED))
    assert ask(paused, BEGIN + 1000 * HOUR).ticks == (Due(BEGIN + 1000 * HOUR, PAUSED, 1000),)
    assert ask(paused, BEGIN + 5).ticks == ()


def test_skip_leaves_out_a_tick_while_the_run_before_is_active() -> None:
    assert ask(DAILY, BEGIN + DAY, load=Load(active=1)).ticks == (Due(BEGIN + DAY, OVERLAP),)


def test_queue_lets_some_runs_wait() -> None:
    queue = Timing(cron="0 0 * * *", overlap="queue")
    assert ask(queue, BEGIN + DAY, load=Load(MOST_WAITING, MOST_WAITING - 1, 5)).ticks == (Due(BEGIN + DAY),)
    assert ask(queue, BEGIN + DAY, load=Load(MOST_WAITING + 1, MOST_WAITING, 5)).ticks == (Due(BEGIN + DAY, FULL),)


def test_cancel_ends_the_run_before_if_there_is_one_and_the_new_one_has_room() -> None:
    cancel = Timing(cron="0 0 * * *", overlap="cancel")
    active = ask(cancel, BEGIN + DAY, load=Load(active=1))
    assert active.ticks == (Due(BEGIN + DAY),) and active.cancel
    assert not ask(cancel, BEGIN + DAY).cancel
    full = ask(cancel, BEGIN + DAY, load=Load(active=1, room=0))
    assert full.ticks == (Due(BEGIN + DAY, FULL),) and not full.cancel
    assert not ask(cancel, BEGIN + DAY + 2 * HOUR, load=Load(active=1)).cancel


def test_allow_does_not_look() -> None:
    allow = Timing(cron="0 0 * * *", overlap="allow")
    assert ask(allow, BEGIN + DAY, load=Load(50, 50, 1)).ticks == (Due(BEGIN + DAY),)


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel", "allow"])
def test_a_full_queue_takes_no_run_of_any_kind(overlap: str) -> None:
    timing = Timing(cron="0 0 * * *", overlap=overlap)  # type: ignore[arg-type]
    assert ask(timing, BEGIN + DAY, load=Load(room=0)).ticks == (Due(BEGIN + DAY, FULL),)


def test_a_clock_that_goes_back_decides_nothing_twice_and_is_told() -> None:
    assert ask(DAILY, BEGIN - 50, BEGIN) == Decision((), BEGIN, BEGIN + DAY, float(BEGIN + DAY), False, 50.0)


def test_a_clock_that_jumps_ahead_loses_nothing() -> None:
    ahead = ask(DAILY, BEGIN + 3650 * DAY)
    assert sum(tick.missed for tick in ahead.ticks) == 3650
    back = ask(DAILY, BEGIN + DAY, ahead.decided)
    assert back.ticks == () and back.behind == 3649 * DAY and back.next_due == BEGIN + 3651 * DAY


def test_jitter_is_the_same_for_the_same_tick_and_spreads_schedules() -> None:
    assert jitter("sch_1", BEGIN, 600) == jitter("sch_1", BEGIN, 600)
    drawn = [jitter(f"sch_{number}", BEGIN, 600) for number in range(2000)]
    assert 0 <= min(drawn) < 10 and 590 < max(drawn) <= 600
    assert {jitter("sch_1", BEGIN + number, 0.5) for number in range(50)} == {0}


def test_jitter_puts_a_tick_off_and_is_not_lateness() -> None:
    spread = Timing(cron="0 0 * * *", jitter=7200, catchup=60)
    starts_at = BEGIN + DAY + jitter("sch_1", BEGIN + DAY, 7200)
    assert ask(spread, starts_at - 1) == Decision((), BEGIN, BEGIN + DAY, float(starts_at))
    assert ask(spread, starts_at).ticks == (Due(BEGIN + DAY),)
    assert ask(spread, BEGIN + DAY + 7260).ticks == (Due(BEGIN + DAY),)
    assert ask(spread, BEGIN + DAY + 7261).ticks == (Due(BEGIN + DAY, LATE),)


def test_jitter_longer_than_the_interval_keeps_the_order() -> None:
    spread = Timing(cron="* * * * *", jitter=DAY)
    decided, now, ticks = BEGIN, float(BEGIN), list[Due]()
    for _ in range(100):
        decision = ask(spread, now, decided)
        assert decision.wake_at is not None and decision.wake_at > now
        ticks += decision.ticks
        decided, now = decision.decided, decision.wake_at
    assert all(before.due < after.due for before, after in pairwise(ticks))
    assert sum(tick.missed for tick in ticks) == (decided - BEGIN) // 60 > 500


def test_after_a_long_time_ticks_that_jitter_still_puts_off_wait() -> None:
    spread, now, last = Timing(cron="* * * * *", jitter=HOUR), BEGIN + 500 * 60, BEGIN
    while last + 60 + jitter("sch_1", last + 60, HOUR) <= now:
        last += 60
    decision = ask(spread, now)
    assert decision.decided == last < now
    assert decision.wake_at == last + 60 + jitter("sch_1", last + 60, HOUR)


def test_a_line_without_a_next_tick_has_no_wake_time() -> None:
    assert ask(Timing(cron="0 0 * * *"), 250_000_000_000, 250_000_000_000) == Decision((), 250_000_000_000, None, None)


def test_a_zone_that_is_gone_is_told() -> None:
    with pytest.raises(BadSchedule, match="unknown"):
        ask(Timing(cron="0 0 * * *", zone="Europe/Atlantis"), BEGIN)


timings = st.builds(
    Timing,
    cron=st.sampled_from(["* * * * *", "*/7 * * * *", "0 3 * * *", "30 2 * * SUN", "0 2,3 1 * *", "0 7 29 2 *"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Nuuk"]),
    overlap=st.sampled_from(["skip", "queue", "cancel", "allow"]),
    catchup=st.sampled_from([0.0, 60.0, 3600.0, 31.0 * DAY]),
    jitter=st.sampled_from([0.0, 1.0, 59.5, 3600.0, 86_400.0]),
    paused=st.booleans(),
)
naps = st.lists(st.one_of(st.floats(0, 200), st.floats(0, 40 * DAY), st.floats(-DAY, 0)), min_size=1, max_size=6)


@given(timings, st.integers(0, 1000), naps, st.builds(Load, st.integers(0, 2), st.integers(0, 11), st.integers(0, 2)))
@examples(max_examples=60)
def test_every_tick_is_decided_once_whatever_the_clock_does(
    timing: Timing, day: int, naps: list[float], load: Load
) -> None:
    now = float(BEGIN + day * DAY)
    decided = first = int(now)
    counted, dues = 0, list[int]()
    for nap in naps:
        now += nap
        decision = decide("sch_1", timing, decided, now, load)
        assert decision == decide("sch_1", timing, decided, now, load)
        counted += sum(tick.missed for tick in decision.ticks)
        dues += [tick.due for tick in decision.ticks]
        assert len(decision.ticks) <= 2 * MOST_ROWS + 1
        assert decision.decided == (dues[-1] if decision.ticks else decided)
        assert decision.wake_at is None or decision.wake_at > now
        decided = decision.decided
    assert dues == sorted(set(dues))
    calendar = calendar_of(timing.cron, timing.zone)
    assert counted == calendar.count(first, decided)
    assert decided == (calendar.latest(first, decided) or first)
