"""What an engine adds to the time of an answer: overhead latency, joined from two witnesses after the crawl.

Rules, and why:
- Overhead = (head in the hands of the client's code - start of the fetch), as the crawl stored it, minus (answer sent -
  request arrived), as the server logged it. What the server really took is subtracted, not what it intended
  (`Server-Timing`): a late server is no fault of the engine. What is left is the wait for the loop, for the GIL and for
  a core, and a connection where a new one was made.
- Only stored pages count, in their last attempt, and only those of the steady window (the first and the last tenth of
  the answers are left out), as for throughput.
- A percentile q is told from 10 / (1 - q) values on: the median from 20, the 99th from 1,000. Below that it would be
  the word of a handful of pages.
- Nothing of this happens in the crawl itself: it stores `first_byte` with every page anyway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from crawler.testweb.log import LogEntry

EDGE = 10
ENOUGH = 10.0
TOLD = {"overhead_p50": 0.5, "overhead_p99": 0.99}


def overhead(first_bytes: Mapping[str, float], entries: Sequence[LogEntry]) -> dict[str, float]:
    """The percentiles that can be told, in milliseconds, by the names in `TOLD`. `first_bytes`: URL -> seconds."""
    answered = sorted((entry for entry in entries if 200 <= entry.status <= 299), key=lambda entry: entry.end)
    edge = len(answered) // EDGE
    took = {f"http://{entry.host}{entry.path}": entry.end - entry.at for entry in answered[edge : len(answered) - edge]}
    added = sorted(max(0.0, first_bytes[url] - seconds) * 1000 for url, seconds in took.items() if url in first_bytes)
    return {name: percentile(added, q) for name, q in TOLD.items() if len(added) * (1 - q) >= ENOUGH - 1e-9}


def percentile(ordered: Sequence[float], q: float) -> float:
    """The smallest value that at least a share `q` of them does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]
