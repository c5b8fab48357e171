"""A thousand tasks that wait: what do they cost as threads, and what as coroutines?

First the wakings are *spread* evenly over 0.1 s, as the answers of many servers are; then 300 of the tasks wake once
more in one *burst*, at the same moment. Every waking has a planned time, so a task that was late does not delay the
plan. Starting and ending the tasks is not counted.
"""

from __future__ import annotations

import asyncio
import resource
import time
from threading import Thread
from typing import NamedTuple

from crawler.compare.lessons.lesson import Lesson, Samples, below, level, ratio
from crawler.compare.lessons.rounds import alternate, ratios

TASKS = 1000
BURST = 300  # of these tasks
SPREAD = 0.1  # seconds: 10,000 wakings a second
START = 0.5  # seconds until all tasks are there and asleep
GAP = 0.02  # seconds between the phases
WATCH = 0.06  # seconds for which the cost of the burst is counted
ROUNDS = 5


class SwitchPlan:
    """Planned and actual wake-up times of tasks, on the monotonic clock."""

    def __init__(self, start: float) -> None:
        self.begin = time.monotonic() + start
        self.burst = self.begin + SPREAD + GAP
        self.end = self.burst + WATCH + GAP
        self.woke: list[float] = []
        self.woke_again = [0.0] * TASKS

    def second(self, number: int) -> float:
        """The second wake-up time of a task: in the burst, or spread out after it."""
        return self.burst if number < BURST else self.end + SPREAD * number / TASKS


class Price(NamedTuple):
    """CPU seconds and context switches of a phase, and how long it took until the last task was awake."""

    cpu: float
    switches: int
    seconds: float


Prices = tuple[Price, Price]
"""Those of the spread wakings and of the burst."""


def usage() -> tuple[float, int]:
    """CPU seconds and context switches of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_nvcsw + used.ru_nivcsw


def prices(plan: SwitchPlan, marks: list[tuple[float, int]]) -> Prices:
    """The cost of both phases, from the usage before, between and after them."""
    seconds = max(plan.woke) - plan.begin, max(plan.woke_again[:BURST]) - plan.burst
    spread, burst = (
        Price(cpu - cpu_before, switches - switches_before, took)
        for (cpu_before, switches_before), (cpu, switches), took in zip(marks, marks[1:], seconds, strict=False)
    )
    return spread, burst


def as_threads(start: float = START) -> Prices:
    """A thread per task."""
    plan, marks = SwitchPlan(start), list[tuple[float, int]]()

    def task(number: int) -> None:
        time.sleep(max(0.0, plan.begin + SPREAD * number / TASKS - time.monotonic()))
        plan.woke.append(time.monotonic())
        time.sleep(max(0.0, plan.second(number) - time.monotonic()))
        plan.woke_again[number] = time.monotonic()

    threads = [Thread(target=task, args=(number,)) for number in range(TASKS)]
    for thread in threads:
        thread.start()
    if time.monotonic() > plan.begin - GAP:  # not all started in time: retry with more time
        for thread in threads:
            thread.join()
        return as_threads(2 * start)
    for moment in (plan.begin, plan.burst, plan.end):
        time.sleep(max(0.0, moment - GAP / 2 - time.monotonic()))
        marks.append(usage())
    for thread in threads:
        thread.join()
    return prices(plan, marks)


async def as_coroutines() -> Prices:
    """The same lines with await."""
    plan, marks = SwitchPlan(2 * GAP), list[tuple[float, int]]()

    async def task(number: int) -> None:
        await asyncio.sleep(max(0.0, plan.begin + SPREAD * number / TASKS - time.monotonic()))
        plan.woke.append(time.monotonic())
        await asyncio.sleep(max(0.0, plan.second(number) - time.monotonic()))
        plan.woke_again[number] = time.monotonic()

    tasks = [asyncio.create_task(task(number)) for number in range(TASKS)]
    for moment in (plan.begin, plan.burst, plan.end):
        await asyncio.sleep(max(0.0, moment - GAP / 2 - time.monotonic()))
        marks.append(usage())
    await asyncio.gather(*tasks)
    return prices(plan, marks)


def run() -> Samples:
    """Threads and coroutines in turn."""
    found = alternate(ROUNDS, False, threads=as_threads, coroutines=lambda: asyncio.run(as_coroutines()))
    threads, thread_bursts = zip(*found["threads"], strict=True)
    coroutines, coroutine_bursts = zip(*found["coroutines"], strict=True)
    return {
        "pace": [SPREAD / one.seconds for one in threads],
        "cpu": ratios([one.cpu for one in threads], [one.cpu for one in coroutines]),
        "switches": [one.switches / TASKS for one in threads],
        "coroutine_switches": [one.switches / TASKS for one in coroutines],
        "burst_switches": [one.switches / BURST for one in thread_bursts],
        "burst_cpu": ratios([one.cpu for one in thread_bursts], [one.cpu for one in coroutine_bursts]),
        "burst_seconds": ratios([one.seconds for one in thread_bursts], [one.seconds for one in coroutine_bursts]),
    }


LESSON = Lesson(
    title="Switching between a thousand tasks",
    claim="With thousands of threads the system is busy switching between them and hardly gets anything else done.",
    measures={
        "pace": level(f"{TASKS:,} threads, wakings spread: seconds planned : taken", claim=below(0.5)),
        "cpu": ratio("wakings per CPU second, spread, coroutines : threads"),
        "switches": level("context switches per waking, spread, threads"),
        "coroutine_switches": level("context switches per waking, spread, coroutines"),
        "burst_switches": level(f"context switches per waking, {BURST} at once, threads"),
        "burst_cpu": ratio(f"wakings per CPU second, {BURST} at once, coroutines : threads"),
        "burst_seconds": ratio(f"wakings/s, {BURST} at once, coroutines : threads"),
    },
    why=(
        "A thread that wakes is one context switch, which the system hardly feels at 10,000 a second; trouble "
        "comes when so many wake at once that they queue for the GIL, and each of them wakes in vain every 5 ms "
        "to ask for it."
    ),
    run=run,
)
