"""Open loop: fetches start by a schedule, and their response times count from the intended start. Pure.

Rules, and why:
- In a closed loop a crawler that stalls asks for nothing meanwhile, so nothing is late: its stalls are left out of its
  own response times ("coordinated omission": G. Tene, "How NOT to measure latency"; wrk2). Here the schedule does not
  wait, and what could not start in time has its wait counted.
- All arms have the same schedule, a share of the least of their peaks, so all can bear it. With a share of its own peak
  a fast arm would be loaded more, and latencies under different loads cannot be compared.
- A peak is the median of an arm's steady rates in the closed loop, under the same condition. So the open loop is last.
- Starts are evenly spaced, as in wrk2. The k-th request of the server's log had the k-th of them. The schedule is not
  taken from the crawl: it is placed as early as the requests of the window allow, so an engine that starts more than it
  should is late by its own log.
- The window leaves out the first quarter: nothing can start before the listing is read, and what has become due by then
  starts at once. It leaves out the last tenth, in which shards end one after the other.
- A response ends when the crawler turns to it, whole (`fetched_at` of the page). Parsing and storing it come
  afterwards, and delay the next ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median

import msgspec

from crawler.compare.overhead import percentiles
from crawler.compare.records import Condition, Trial
from crawler.testweb.log import LogEntry

SWEEP = "open loop"
WARM_UP, EDGE = 4, 10
QUANTILES = {"response_p50": 0.5, "response_p99": 0.99}


def offered_rate(condition: Condition, arms: Collection[str], trials: Iterable[Trial]) -> float | None:
    """Fetches/s to offer to these arms; None where no arm has a valid trial in the closed loop."""
    rates: dict[str, list[float]] = {}
    for trial in trials:
        if trial.valid and trial.arm in arms and trial.condition == closed(condition, trial.condition):
            rates.setdefault(trial.arm, []).append(trial.metrics["steady_rate"])
    peaks = map(median, rates.values())
    return condition.arrivals * min(peaks) if rates else None


def closed(condition: Condition, like: Condition) -> Condition:
    """The condition with the loop closed, of the sweep and the size of another one."""
    return msgspec.structs.replace(condition, arrivals=0.0, sweep=like.sweep, pages=like.pages)


def response_times(rate: float, received_at: Mapping[str, float], entries: Sequence[LogEntry]) -> dict[str, float]:
    """The QUANTILES that have enough values, in milliseconds, by name. `rate` in fetches/s; `received_at`: URL -> Unix
    time; all requests, in the order of their arrival."""
    numbered = list(enumerate(entries))[len(entries) // WARM_UP : len(entries) - len(entries) // EDGE]
    begun_at = min((entry.wall - number / rate for number, entry in numbered), default=0.0)
    ended = ((received_at[entry.url], number) for number, entry in numbered if entry.url in received_at)
    took = (1000 * (end - begun_at - number / rate) for end, number in ended)
    return percentiles(sorted(took), QUANTILES)
