"""How long a crawl still lasts, from counts alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.metrics.time_left import by_pace, by_rests

COUNTS = st.integers(0, 10**9)
SECONDS = st.floats(0.001, 1e4)


def test_one_host_takes_a_rest_for_each_url() -> None:
    assert by_rests(892, hosts=1, rest=1.0, pace=0.0) == 892


def test_hosts_rest_side_by_side_as_far_as_there_are_urls() -> None:
    assert by_rests(100, hosts=10, rest=1.0, pace=0.0) == pytest.approx(10)
    assert by_rests(3, hosts=10, rest=1.0, pace=0.0) == pytest.approx(1)


def test_a_slower_pace_than_the_rest_counts() -> None:
    assert by_rests(100, hosts=1, rest=1.0, pace=0.2) == pytest.approx(500)
    assert by_rests(100, hosts=1, rest=1.0, pace=5.0) == pytest.approx(100)


@given(COUNTS, COUNTS, SECONDS, st.floats(0, 1e4))
def test_more_urls_take_longer_and_more_hosts_never_do(owed: int, hosts: int, rest: float, pace: float) -> None:
    left = by_rests(owed, hosts, rest, pace)
    assert by_rests(owed + 1, hosts, rest, pace) >= left * (1 - 1e-9) >= 0
    assert by_rests(owed, hosts + 1, rest, pace) <= left * (1 + 1e-9)


def test_a_growing_queue_or_no_pace_predicts_nothing() -> None:
    assert by_pace(10, owed_then=9, pace=5.0) is None
    assert by_pace(10, owed_then=10, pace=0.0) is None
    assert by_pace(10, owed_then=20, pace=5.0) == 2.0
