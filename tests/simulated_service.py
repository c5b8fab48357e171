"""`python -m tests.simulated_service`: the core of the service over virtual years, at its full size.

First 10,000 schedules in many time zones over 10 years, with outages, kills before a commit, pauses and a clock that
jumps; then some thousand queues of runs. Every decision is checked, see tests/sim/timetable.py and
tests/sim/run_queue.py; the first violation ends it with the seed that shows it again. Printed at last: how many ticks
ran, how many have a row with which reason, and how often what was disturbed.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections import Counter
from collections.abc import Iterable
from multiprocessing import get_context

from tests.sim.run_queue import RunQueue
from tests.sim.timetable import Timetable

EACH = 20
"""Schedules that share a clock and its disturbances."""


def timetable(task: tuple[int, int, float]) -> Counter[str]:
    """Play one timetable: seed, schedules, years."""
    seed, schedules, years = task
    return Timetable(seed, schedules, years).run()


def run_queue(seed: int) -> Counter[str]:
    """Play one queue of runs."""
    return RunQueue(seed).run()


def total(title: str, found: Iterable[Counter[str]], began: float) -> None:
    """Print the sum of all counts and the time since `began`."""
    counts: Counter[str] = Counter()
    for one in found:
        counts += one
    print(f"{title}: {time.monotonic() - began:,.0f} s", flush=True)
    for name, count in counts.most_common():
        print(f"{name:>18} {count:>13,}")


def main() -> None:
    """Read the options, play everything, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--years", type=float, default=10.0)
    parser.add_argument("--queues", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first timetable and the first queue")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    tasks = [
        (options.seed + first, min(EACH, options.schedules - first), options.years)
        for first in range(0, options.schedules, EACH)
    ]
    seeds = range(options.seed, options.seed + options.queues)
    with get_context("spawn").Pool(options.processes) as pool:
        title = f"{options.schedules:,} schedules over {options.years:g} years, no tick lost, none decided twice"
        total(title, pool.imap_unordered(timetable, tasks), time.monotonic())
        total(f"{options.queues:,} queues of runs", pool.imap_unordered(run_queue, seeds, 20), time.monotonic())
        pool.close()
        pool.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"CPU: {used.ru_utime + used.ru_stime:,.0f} s")


if __name__ == "__main__":
    main()
