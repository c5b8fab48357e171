"""A Pool of N runs N tasks; when does the N+1st begin? Each task says when it began, on the machine's clock."""

from __future__ import annotations

from multiprocessing import get_context
from multiprocessing.pool import Pool
from time import monotonic, sleep

from crawler.compare.lessons.lesson import Lesson, Samples, above, below, level
from crawler.compare.lessons.rounds import alternate

WORKERS = 4
LASTS = 0.1
ROUNDS = 6


def task(_: int) -> float:
    """Wait for LASTS seconds; returns when it began."""
    began = monotonic()
    sleep(LASTS)
    return began


def starts(pool: Pool, tasks: int) -> list[float]:
    """How long each task waited for its start, as a share of LASTS, in order."""
    begin = monotonic()
    return sorted((began - begin) / LASTS for began in pool.map(task, range(tasks), chunksize=1))


def run() -> Samples:
    """One task too many, and the same tasks with one more worker."""
    with get_context("fork").Pool(WORKERS) as pool, get_context("fork").Pool(WORKERS + 1) as larger:
        found = alternate(ROUNDS, tight=lambda: starts(pool, WORKERS + 1), roomy=lambda: starts(larger, WORKERS + 1))
    return {
        "first": [waits[WORKERS - 1] for waits in found["tight"]],
        "next": [waits[WORKERS] for waits in found["tight"]],
        "roomy": [waits[WORKERS] for waits in found["roomy"]],
    }


LESSON = Lesson(
    title="The N+1st task of a Pool waits",
    claim=f"A Pool of {WORKERS} runs {WORKERS} tasks at once; task {WORKERS + 1} begins when one of them has ended.",
    measures={
        "first": level(f"wait of task {WORKERS} : length of a task", claim=below(0.5)),
        "next": level(f"wait of task {WORKERS + 1} : length of a task", claim=above(0.9)),
        "roomy": level(f"the same in a Pool of {WORKERS + 1}", claim=below(0.5)),
    },
    why=(
        "A worker takes a task from the queue, ends it and takes the next, so the size of the Pool is the number of "
        "tasks at once, whether they compute or only wait."
    ),
    run=run,
)
