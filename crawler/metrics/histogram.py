"""A histogram of durations that adds up across threads, processes and machines.

Rules, and why:
- Buckets are a sixteenth of a doubling wide (4.4 %), so a percentile is at most 4.4 % too long and two histograms are
  merged by adding counts. (Percentiles themselves must never be averaged.)
- The longest duration is kept exactly, since it is reported as `max`.
- Anything below a microsecond counts as a microsecond.
"""

from __future__ import annotations

import math
from collections import Counter

from crawler.core.messages import Lateness

STEPS = 16
SHORTEST = 1e-6


class Histogram:
    """Counts durations, in seconds. For one thread at a time."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[math.ceil(STEPS * math.log2(max(seconds, SHORTEST) / SHORTEST))] += 1
        self.longest = max(self.longest, seconds)

    def merge(self, other: Lateness) -> None:
        """Add the counts of another histogram."""
        self._counts.update(dict(other.counts))
        self.longest = max(self.longest, other.longest)

    def message(self) -> Lateness:
        """All counts, as a value that can be sent to another process."""
        return Lateness(tuple(sorted(self._counts.items())), self.longest)

    def __len__(self) -> int:
        return self._counts.total()

    def percentile(self, q: float) -> float:
        """The duration that a share `q` of all did not exceed, in seconds; 0 where there are none."""
        owed = q * len(self)
        for bucket, count in sorted(self._counts.items()):
            owed -= count
            if owed <= 0:
                return min(edge(bucket), self.longest)
        return self.longest

    def edges(self) -> tuple[tuple[float, int], ...]:
        """(Upper edge in seconds, count) of every bucket that is not empty, shortest first."""
        return tuple((edge(bucket), count) for bucket, count in sorted(self._counts.items()))


def edge(bucket: int) -> float:
    """The upper edge of a bucket, in seconds."""
    return SHORTEST * math.exp2(bucket / STEPS)
