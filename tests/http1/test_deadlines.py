"""The deadlines of one fetch."""

from __future__ import annotations

from crawler.fetch.base import Limits
from crawler.fetch.http1.deadlines import FetchTimer, tick


def test_a_loop_that_is_late_repeatedly_keeps_the_total_deadline() -> None:
    limits, flight = Limits(first_byte=1, idle=1, total=4), FetchTimer(0.0)
    now, late = 0.0, 0.4
    while not (reason := flight.overdue(limits, now, late)):
        flight.head_at = 0.1
        flight.size += 1
        now += 0.1 + late
    assert reason == "total"
    assert 4 <= now <= 4 + 2 * late + 0.1


def test_the_first_check_of_a_body_starts_its_idle_time() -> None:
    limits, flight = Limits(first_byte=1, idle=2, total=9), FetchTimer(0.0)
    flight.head_at = 0.5
    assert [flight.overdue(limits, now) for now in (1.0, 2.9, 3.0)] == ["", "", "idle"]


def test_a_body_below_the_minimum_rate_is_idle() -> None:
    limits, flight = Limits(idle=2, total=99, min_rate=10), FetchTimer(0.0)
    flight.head_at = 0.1
    assert not flight.overdue(limits, 1.0)
    for now, size, expected in ((2.0, 19, ""), (2.5, 20, ""), (4.4, 39, ""), (4.5, 39, "idle")):
        flight.size = size
        assert flight.overdue(limits, now) == expected


def test_a_check_each_tenth_of_the_shortest_deadline() -> None:
    assert tick(Limits(first_byte=2, idle=3, total=4)) == 0.2
    assert tick(Limits(first_byte=20, idle=30, total=40)) == 1.0
    assert tick(Limits(first_byte=0.001, idle=3, total=4)) == 0.01
