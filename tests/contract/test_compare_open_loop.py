"""Open loop: what may start when, what is offered, and that a stall is in the response times of all that it delays."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.compare.open_loop import offered_rate, response_times
from crawler.compare.records import Condition, Gate, Trial
from crawler.core.messages import Actions, Fetch
from crawler.runtime.arrivals import TICK, ArrivalSchedule
from crawler.testweb.log import LogEntry

HEADLINE = Condition(sweep="headline", pages=1000)
OPENED = msgspec.structs.replace(HEADLINE, sweep="open loop", pages=2000, arrivals=0.7)
RATE, LATENCY = 100.0, 0.05


def started(count: int) -> Actions:
    return Actions(fetches=[Fetch(id=number, url="http://a.test/") for number in range(count)])


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 50)), max_size=40), st.floats(0.5, 500))
def test_never_more_has_started_than_was_due_and_no_wait_is_longer_than_to_the_next(
    steps: list[tuple[float, int]], rate: float
) -> None:
    schedule, now, begun_at, count = ArrivalSchedule(rate), 5.0, None, 0
    for pause, wanted in steps:
        now += pause
        begun_at = now if begun_at is None else begun_at
        room = schedule.room(now)
        assert count + room <= (now - begun_at) * rate + 1 + 1e-6
        starting = min(room, wanted)
        schedule.see(started(starting))
        count += starting
        next_at = schedule.next_at()
        if starting < room:
            assert next_at is None, "one is due already"
        else:
            assert next_at is not None and now < next_at <= now + 1 / rate + TICK + 1e-6
            assert schedule.room(next_at) >= 1


def test_what_could_not_start_is_owed_and_nothing_is_put_off() -> None:
    schedule = ArrivalSchedule(10.0)
    assert (schedule.next_at(), schedule.room(0.0)) == (None, 1)
    schedule.see(started(1))
    assert schedule.room(0.05) == 0
    assert schedule.room(1.0) == 10, "a stall of a second owes ten"
    schedule.see(started(10))
    assert schedule.next_at() == pytest.approx(1.1 + TICK)


def test_a_fetch_that_becomes_due_before_the_engine_waits_wakes_it_at_once() -> None:
    """With nothing in flight nothing else would: the engine would wait for ever."""
    schedule = ArrivalSchedule(10.0)
    assert schedule.room(0.0) == 1
    schedule.see(started(1))
    assert schedule.room(0.05) == 0
    next_at = schedule.next_at()
    assert next_at is not None and next_at < 0.2, "due by now, however late the engine asks"


FIRST = LogEntry(at=0, wall=0, end=0, host="a.test", path="/", attempt=1, status=200, in_flight=1, connection=1)


def entries(starts: list[float]) -> list[LogEntry]:
    return [
        msgspec.structs.replace(FIRST, at=start, wall=start, end=start, path=f"/{n}") for n, start in enumerate(starts)
    ]


def times(starts: list[float]) -> dict[str, float]:
    """Response times where each answer takes LATENCY."""
    log = entries(starts)
    return response_times(RATE, {entry.url: entry.wall + LATENCY for entry in log}, log)


EVEN = [number / RATE for number in range(2000)]


def test_a_schedule_that_is_kept_gives_the_latency() -> None:
    assert times(EVEN) == {"response_p50": pytest.approx(50), "response_p99": pytest.approx(50)}
    assert times([start + 3 for start in EVEN]) == pytest.approx(times(EVEN)), "it begins with the crawl"
    assert times(EVEN[:1000]).keys() == {"response_p50"}, "too few for a 99th percentile"
    assert times([]) == {}


def test_a_stall_is_in_the_times_of_all_that_it_delays() -> None:
    stalled = [max(start, 11.0) if 10 <= start < 11 else start for start in EVEN]
    assert times(stalled)["response_p50"] == pytest.approx(50)
    assert times(stalled)["response_p99"] > 900, "each answer took 50 ms, and a hundred of them waited"


def test_what_happens_before_the_window_is_left_out() -> None:
    late = [max(start, 2.0) for start in EVEN]  # a listing that takes two seconds
    assert times(late)["response_p99"] == pytest.approx(50)


def test_an_engine_that_does_not_wait_for_the_schedule_gains_nothing() -> None:
    assert times([start / 2 for start in EVEN])["response_p50"] > 1000


def trial(
    arm: str, rate: float, condition: Condition = HEADLINE, *, passed: bool = True, warm_up: bool = False
) -> Trial:
    return Trial(
        block=1,
        order=0,
        arm=arm,
        condition=condition,
        started_at=0.0,
        seconds=1.0,
        warm_up=warm_up,
        gates=(Gate("G1", passed),),
        metrics={"steady_rate": rate},
    )


def test_all_are_offered_a_share_of_the_least_peak() -> None:
    found = [trial("async", rate) for rate in (100, 300, 200)] + [trial("threads", rate) for rate in (150, 160)]
    assert offered_rate(OPENED, {"async", "threads"}, found) == pytest.approx(0.7 * 155)
    assert offered_rate(OPENED, {"async"}, found) == pytest.approx(0.7 * 200)
    others = [
        trial("async", 1, passed=False),
        trial("async", 1, warm_up=True),
        trial("async", 1, OPENED),
        trial("async", 1, msgspec.structs.replace(HEADLINE, latency=0.2)),
        trial("async+aiohttp", 1),
    ]
    assert offered_rate(OPENED, {"async"}, [*found, *others]) == pytest.approx(0.7 * 200)
    assert offered_rate(OPENED, {"async"}, others) is None
