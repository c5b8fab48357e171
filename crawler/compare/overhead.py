"""Overhead latency: the time that an engine adds to an answer, computed after the crawl from its data and the server's.

Rules, and why:
- Overhead = (time when the client's code has the head - start of the fetch), as the crawl stored it, minus (answer sent
  - request arrived), as the server logged it. The server's actual time is subtracted, not the intended one
  (`Server-Timing`), because a late server is not the engine's fault. The rest is the wait for the loop, the GIL and a
  core, and for a connection where a new one was opened.
- Only stored pages count, in their last attempt, and only those of the steady window (the first and the last tenth of
  the answers are left out), as for throughput.
- A percentile q is given from 10 / (1 - q) values on: the median from 20, the 99th from 1,000. Below that it would
  depend on a handful of pages.
- The crawl itself does no extra work: it stores `first_byte` with every page anyway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from crawler.testweb.log import LogEntry

EDGE = 10
ENOUGH = 10.0
QUANTILES = {"overhead_p50": 0.5, "overhead_p99": 0.99}


def overhead(first_bytes: Mapping[str, float], entries: Sequence[LogEntry]) -> dict[str, float]:
    """The QUANTILES that have enough values, in milliseconds, by name. `first_bytes`: URL -> seconds."""
    answered = sorted((entry for entry in entries if 200 <= entry.status <= 299), key=lambda entry: entry.end)
    edge = len(answered) // EDGE
    took = {entry.url: entry.end - entry.at for entry in answered[edge : len(answered) - edge]}
    added = sorted(max(0.0, first_bytes[url] - seconds) * 1000 for url, seconds in took.items() if url in first_bytes)
    return percentiles(added, QUANTILES)


def percentiles(ordered: Sequence[float], quantiles: Mapping[str, float]) -> dict[str, float]:
    """Those of the quantiles for which there are enough values, by name."""
    return {name: percentile(ordered, q) for name, q in quantiles.items() if len(ordered) * (1 - q) >= ENOUGH - 1e-9}


def percentile(ordered: Sequence[float], q: float) -> float:
    """The smallest value that at least a share `q` of the values does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]
