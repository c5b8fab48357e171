"""The cost metrics of a trial, by the names in records.METRICS: the same for our own webs and for a real site.

Rules, and why:
- CPU and switches a page are the slope between two sizes of job: this one, and one of hardly a page (`StartCost`).
  Divided by all its pages, the cost of starting would make an engine look dear in small jobs, and cheaper the larger
  they are. What starting costs is a metric of its own.
- On a real site there is no second job: it would be asked once more. There the start is part of the cost of a page.
"""

from __future__ import annotations

import msgspec

from crawler.compare.launch import Cost
from crawler.metrics.summary import Summary

ENOUGH_BEATS = 100


class StartCost(msgspec.Struct, frozen=True):
    """What an engine spends on a crawl of hardly a page: CPU seconds and switches of its process tree, URLs."""

    cpu: float = 0.0
    switches: float = 0.0
    urls: int = 0


NO_START = StartCost()


def costs(cost: Cost, summary: Summary, start: StartCost = NO_START) -> dict[str, float]:
    """CPU, memory, switches, threads, descriptors, the rate of the whole run, the scheduling lag. A page is a URL that
    was fetched and settled."""
    pages = max(summary.urls, 1)
    beyond = max(pages - start.urls, 1)
    return {
        "cold_rate": pages / max(cost.ended_at - cost.started_at, 1e-9),
        "cpu_per_1000": max(cost.cpu - start.cpu, 0.0) / beyond * 1000,
        "memory": float(max(cost.memory, summary.peak_memory_bytes)),
        "switches_per_page": max(cost.switches - start.switches, 0.0) / beyond,
        "processes": float(cost.processes),
        "threads": float(cost.threads),
        "descriptors": float(cost.descriptors),
        **({"start_cpu": start.cpu, "start_switches": start.switches} if start.urls else {}),
        **lateness(summary),
    }


def lateness(summary: Summary) -> dict[str, float]:
    """Lateness of a crawl's heartbeats, in milliseconds; the 99th percentile only with enough beats."""
    beat = summary.heartbeat
    if beat is None:
        return {}
    return {"heartbeat_p50": beat.p50} | ({"heartbeat_p99": beat.p99} if beat.beats >= ENOUGH_BEATS else {})
