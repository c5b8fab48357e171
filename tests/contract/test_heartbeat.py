"""Histograms can be merged, and the heartbeat records the lateness of every beat."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.messages import Lateness
from crawler.errors import UsageError
from crawler.metrics.heartbeat import LagProbe, beating_on_loop, measure_lag
from crawler.metrics.histogram import STEPS, Histogram
from crawler.settings import merge_layers

from .raw_server import until

durations = st.lists(st.floats(0, 1000), max_size=50)


def histogram_of(values: list[float]) -> Histogram:
    made = Histogram()
    for value in values:
        made.add(value)
    return made


@given(durations, durations)
def test_a_merged_histogram_is_that_of_all_values(a: list[float], b: list[float]) -> None:
    merged = histogram_of(a)
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(histogram_of(b).message()), type=Lateness)
    merged.merge(sent)
    assert merged.message() == histogram_of(a + b).message()
    assert len(merged) == len(a) + len(b)


@given(durations.filter(bool), st.floats(0.01, 1))
def test_a_percentile_is_at_most_one_bucket_too_high(values: list[float], q: float) -> None:
    exact = sorted(values)[math.ceil(round(q * len(values), 6)) - 1]
    reported = histogram_of(values).percentile(q)
    assert exact <= reported * (1 + 1e-9)
    assert reported <= max(exact, 1e-6) * 2 ** (1 / STEPS) * (1 + 1e-9)


def test_an_empty_histogram_has_no_values() -> None:
    assert (len(Histogram()), Histogram().percentile(0.99), Histogram().edges()) == (0, 0.0, ())


def test_a_long_stall_counts_every_beat_that_was_due() -> None:
    lateness = Histogram()
    pulse = LagProbe(1.0, lateness, 100.0)
    assert pulse.beat(101.0) == pytest.approx(1.0)
    assert pulse.beat(105.5) == pytest.approx(0.5)
    assert (len(lateness), lateness.longest) == (5, 3.5)
    assert pulse.beat(105.9) == pytest.approx(1.1), "an early beat counts as late"
    assert len(lateness) == 6 and lateness.percentile(1 / 6) < 1e-5


async def test_a_block_of_the_loop_is_measured() -> None:
    lateness = Histogram()
    async with asyncio.timeout(10):
        with beating_on_loop(0.01, lateness):
            while not len(lateness):  # noqa: ASYNC110  a histogram has no event to wait for
                await asyncio.sleep(0.001)
            time.sleep(0.2)  # noqa: ASYNC251  blocks the loop on purpose
            while lateness.longest <= 0.15:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    counted = len(lateness)
    await asyncio.sleep(0.05)
    assert len(lateness) == counted, "beats are counted after the end of the block"


def test_a_thread_beats_until_the_block_ends() -> None:
    lateness = Histogram()
    threads = threading.active_count()
    began = time.monotonic()
    with measure_lag(0.01, lateness):
        until(lambda: len(lateness) >= 10)
    assert threading.active_count() == threads
    assert 10 <= len(lateness) <= (time.monotonic() - began) / 0.01


def test_a_period_of_0_starts_no_thread() -> None:
    lateness = Histogram()
    threads = threading.active_count()
    with measure_lag(0.0, lateness):
        assert threading.active_count() == threads
    assert not lateness
    with pytest.raises(UsageError, match="heartbeat"):
        merge_layers({"heartbeat": 1e-6})
