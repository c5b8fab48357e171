"""Overhead latency is what is left of a fetch when the server's own time is taken away."""

from __future__ import annotations

import pytest

from crawler.compare.overhead import overhead, percentile
from crawler.testweb.log import LogEntry

SERVED = 0.05


def entry(number: int, status: int = 200, attempt: int = 1, took: float = SERVED) -> LogEntry:
    return LogEntry(
        at=float(number),
        wall=0.0,
        end=number + took,
        host="a.test",
        path=f"/{number}",
        attempt=attempt,
        status=status,
        in_flight=1,
        connection=1,
    )


def first_bytes(count: int, added: float) -> dict[str, float]:
    return {f"http://a.test/{number}": SERVED + added for number in range(count)}


def test_the_servers_own_time_is_taken_away() -> None:
    log = [entry(number) for number in range(1300)]
    assert overhead(first_bytes(1300, 0.002), log) == pytest.approx({"overhead_p50": 2.0, "overhead_p99": 2.0})
    late = [entry(number, took=0.051) for number in range(1300)]
    assert overhead(first_bytes(1300, 0.002), late)["overhead_p50"] == pytest.approx(1.0), "a late server is no fault"


def test_only_the_steady_window_counts_and_only_answers() -> None:
    seen = first_bytes(100, 0.001) | {f"http://a.test/{number}": 9.0 for number in (*range(10), *range(90, 100))}
    log = [entry(number, status) for number in range(100) for status in (200, 503)]
    assert overhead(seen, log) == pytest.approx({"overhead_p50": 1.0})


def test_a_percentile_of_too_few_pages_is_not_told() -> None:
    def told(pages: int) -> set[str]:
        return set(overhead(first_bytes(pages, 0.001), [entry(number) for number in range(pages)]))

    assert told(0) == told(20) == set()
    assert told(25) == told(1240) == {"overhead_p50"}
    assert told(1250) == {"overhead_p50", "overhead_p99"}


def test_percentiles_are_values_that_were_seen() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.99) == 4.0
    assert percentile([7.0], 0.5) == 7.0
