"""The costs of an engine a page: the slope between two sizes of job."""

from __future__ import annotations

from typing import NamedTuple, cast

import pytest

from crawler.compare.costs import StartCost, costs
from crawler.compare.launch import Cost
from crawler.metrics.summary import Summary


class Reported(NamedTuple):
    """The part of a crawl's summary that costs depend on."""

    urls: int
    peak_memory_bytes: int = 0
    heartbeat: None = None


def spent(pages: int) -> tuple[Cost, Summary]:
    """A crawl by an engine that takes 0.5 s of CPU to start and 2 ms a page, 100 switches to start and 3 a page."""
    cost = Cost(
        exit_code=0,
        started_at=10.0,
        ended_at=12.0,
        cpu=0.5 + 0.002 * pages,
        switches=100 + 3 * pages,
        memory=50_000_000,
        threads=2,
        processes=1,
        descriptors=9,
        own_cpu=0.0,
    )
    return cost, cast(Summary, Reported(pages))


def test_the_cost_of_a_page_does_not_depend_on_the_size_of_the_job() -> None:
    small_cost, small = spent(2)
    start = StartCost(small_cost.cpu, float(small_cost.switches), small.urls)
    for pages in (50, 5_000):
        found = costs(*spent(pages), start)
        assert found["cpu_per_1000"] == pytest.approx(2.0)
        assert found["switches_per_page"] == pytest.approx(3.0)
        assert found["start_cpu"] == pytest.approx(0.504)


def test_without_a_second_job_starting_is_part_of_the_cost() -> None:
    found = costs(*spent(50))
    assert found["cpu_per_1000"] == pytest.approx(12.0)
    assert "start_cpu" not in found
