"""How long trials take, before there are any. Pure.

Rules, and why:
- A trial is a start, its pages, and reading them back. The pages take what the slots need for them or what the CPU of
  one core does, whichever is longer. That several processes may be faster is left out: the server takes its share.
- The seconds below are from sessions on shared machines. Nothing depends on them but what is said: as soon as there
  are trials, theirs are taken instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from crawler.compare.design import LIVE, Planned, possible
from crawler.compare.records import Condition
from crawler.compare.workload import BESIDE_RAW, FLAT, oracle_of

START = 1.0
"""Of a trial of hardly a page: web, launcher, crawler, report of both."""
PAGE, READ_BACK, RAW = 0.0012, 0.0004, 0.0004
"""Of a page: its crawl on one core, reading it back, the raw loop."""
SLACK = 1.1
"""A crawl of a graph against the bound that no crawl of it can reach."""
CAPACITY = 4.0


@cache
def trial_seconds(condition: Condition, page: float = PAGE) -> float:
    """Seconds of one trial, where a page costs `page` seconds of CPU besides what the condition adds."""
    if condition.workload == LIVE:
        return START + condition.pages * max(page, condition.delay / condition.hosts)
    if condition.workload != FLAT:
        return START + SLACK * oracle_of(condition).seconds + condition.pages * READ_BACK
    rate = min(possible(condition), 1 / (page + condition.cpu_ms / 1000)) * (condition.arrivals or 1)
    return START + condition.pages * (1 / rate + READ_BACK)


def expected_seconds(planned: Iterable[Planned]) -> float:
    """Seconds of these trials, and of what is measured beside them: the raw loop in each block, the server's capacity,
    what each arm spends on starting."""
    planned = tuple(planned)
    beside = {(one.block, one.condition) for one in planned if one.condition.sweep in BESIDE_RAW}
    served = {(one.condition.payload, one.condition.concurrency) for one in planned if one.condition.workload == FLAT}
    starts = {(one.arm.name, one.condition.concurrency, one.condition.workers) for one in planned}
    return (
        sum(trial_seconds(one.condition) for one in planned)
        + sum(trial_seconds(condition, RAW) for _, condition in beside)
        + CAPACITY * len(served)
        + START * len(starts)
    )
