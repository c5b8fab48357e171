"""CPython without the GIL (PEP 703): what threads gain when they work apart, and what they lose when they share.

The same experiment runs on either kind of build, and the predictions differ. Apart: each thread computes with objects
of its own. Sharing: all append to one list, whose lock they contend for. Counting: `count += 1` from all threads.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from threading import Thread

from crawler.compare.lessons.lesson import Lesson, Samples, above, fact, ratio
from crawler.compare.lessons.rounds import alternate, effort, in_parallel, ratios

SECONDS = 0.1
TIMES = 50_000
ROUNDS = 8

shared: list[int] = []
count = 0


def apart() -> None:
    """Build a list of one's own."""
    own: list[int] = []
    for number in range(500):
        own.append(number)  # noqa: PERF402 - the loop is the work


def sharing() -> None:
    """The same, into a list of all threads."""
    for number in range(500):
        shared.append(number)  # noqa: PERF402


def add() -> None:
    """Count without a lock."""
    global count
    for _ in range(TIMES):
        count += 1


def append() -> None:
    """Append without a lock."""
    for number in range(TIMES):
        shared.append(number)  # noqa: PERF402


def rate(unit: Callable[[], None], threads: int) -> float:
    """Units per second."""
    shared.clear()
    return effort(unit, threads, SECONDS).rate


def loses(work: Callable[[], None], total: Callable[[], int]) -> float:
    """Whether two threads lose any of their steps: 1.0 or 0.0."""
    global count
    count = 0
    shared.clear()
    in_parallel([Thread(target=work) for _ in range(2)])
    return float(total() != 2 * TIMES)


def run() -> Samples:
    """Speed first, then what is lost."""
    rates = alternate(
        ROUNDS,
        one_apart=lambda: rate(apart, 1),
        two_apart=lambda: rate(apart, 2),
        one_sharing=lambda: rate(sharing, 1),
        two_sharing=lambda: rate(sharing, 2),
    )
    lost = alternate(
        ROUNDS, False, counts=lambda: loses(add, lambda: count), appends=lambda: loses(append, lambda: len(shared))
    )
    return {
        "built": [float(bool(sysconfig.get_config_var("Py_GIL_DISABLED")))],
        "off": [float(not getattr(sys, "_is_gil_enabled", lambda: True)())],
        "apart": ratios(rates["two_apart"], rates["one_apart"]),
        "sharing": ratios(rates["two_sharing"], rates["one_sharing"]),
        **lost,
    }


LESSON = Lesson(
    title="Free-threaded CPython",
    claim="Without the GIL threads use all cores, and nothing else changes: built-in types protect themselves.",
    measures={
        "built": fact("this Python was built with --disable-gil"),
        "off": fact("the GIL is off"),
        "apart": ratio("work/s, 2 threads : 1, each with objects of its own", claim=above(1.3), needs=1.6),
        "sharing": ratio("appends/s to one list, 2 threads : 1", needs=1.6),
        "counts": fact("count += 1 from two threads loses some"),
        "appends": fact("list.append from two threads loses some", claim=False),
    },
    why=(
        "Each list and dict has a lock of its own there, so an append is never lost but threads that share one are "
        "slower than a single one. count += 1 is a read and a write, which the GIL of 3.10 and later happens not to "
        "separate; without the GIL it loses."
    ),
    run=run,
    cores=2,
)
