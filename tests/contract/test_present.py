"""The summary that a crawl prints at its end, for people."""

from __future__ import annotations

from crawler.cli.present import present
from crawler.core.reasons import Ending
from crawler.metrics.counters import HostStats, RunStats, Tally
from crawler.metrics.summary import summarise


def lines_of(stats: RunStats, **counted: dict[str, int]) -> list[str]:
    """The summary of a complete run in memory."""
    tally = Tally(queued=2, settled=2, urls=2, pages=2, seeds_answered=1, **counted)  # type: ignore[arg-type]
    found = summarise(tally, out=None, mode="async", client="aiohttp", ran=Ending.COMPLETE, stats=stats)
    return present(found, stats, as_json=False).splitlines()


def test_a_status_and_its_count_are_told_apart() -> None:
    assert "  statuses   200: 2,004, 404: 12" in lines_of(RunStats(), statuses={"200": 2004, "404": 12})


def test_the_only_host_is_not_called_slow_and_of_several_the_slowest_are_named() -> None:
    stats = RunStats(hosts={"http://a.test": HostStats(2, 0, 0.0042)})
    assert "  a fetch    2.10 ms on average, of 2" in lines_of(stats)
    stats.hosts["http://b.test"] = HostStats(1, 0, 3.0)
    lines = lines_of(stats)
    assert "  slowest    http://b.test: 3.00 s on average, of 1" in lines
    assert not [line for line in lines if line.startswith("  a fetch")]
