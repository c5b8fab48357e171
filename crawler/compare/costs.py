"""The cost metrics of a trial, by the names in records.METRICS: the same for our own webs and for a real site."""

from __future__ import annotations

from crawler.compare.launch import Cost
from crawler.metrics.summary import Summary

ENOUGH_BEATS = 100


def costs(cost: Cost, summary: Summary) -> dict[str, float]:
    """CPU, memory, switches, threads, descriptors, the rate of the whole run, the scheduling lag. A page is a URL that
    was fetched and settled."""
    pages = max(summary.urls, 1)
    return {
        "cold_rate": pages / max(cost.ended_at - cost.started_at, 1e-9),
        "cpu_per_1000": cost.cpu / pages * 1000,
        "memory": float(max(cost.memory, summary.peak_memory_bytes)),
        "switches_per_page": cost.switches / pages,
        "threads": float(cost.threads),
        "descriptors": float(cost.descriptors),
        **lateness(summary),
    }


def lateness(summary: Summary) -> dict[str, float]:
    """Lateness of a crawl's heartbeats, in milliseconds; the 99th percentile only with enough beats."""
    beat = summary.heartbeat
    if beat is None:
        return {}
    return {"heartbeat_p50": beat.p50} | ({"heartbeat_p99": beat.p99} if beat.beats >= ENOUGH_BEATS else {})
