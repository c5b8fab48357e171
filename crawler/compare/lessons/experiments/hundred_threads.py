"""A hundred busy threads: how many cores do they use, and how much work do they do?"""

from __future__ import annotations

from crawler.compare.lessons.lesson import Lesson, Samples, below, level, ratio
from crawler.compare.lessons.rounds import alternate, busy_loop, effort, ratios

THREADS = 100
SECONDS = 0.2
ROUNDS = 10


def run() -> Samples:
    """One thread and a hundred, in turn."""
    efforts = alternate(
        ROUNDS,
        one=lambda: effort(busy_loop, 1, SECONDS),
        hundred=lambda: effort(busy_loop, THREADS, SECONDS),
    )
    rates = {arm: [each.rate for each in repeated] for arm, repeated in efforts.items()}
    return {
        "cores_used": [each.cores for each in efforts["hundred"]],
        "work": ratios(rates["hundred"], rates["one"]),
    }


LESSON = Lesson(
    title="100 busy threads",
    claim="Even 100 threads on 100 cores use one core, so Python's threads cannot use several cores.",
    measures={
        "cores_used": level(f"cores used by {THREADS} busy threads", claim=below(1.2), needs=1.6),
        "work": ratio(f"work/s, {THREADS} busy threads : 1", claim=below(1.1), needs=1.6),
    },
    why=(
        "With the GIL all of them together do the work of one, less what it costs that the waiting ones wake every "
        "5 ms to ask for it. A build without the GIL uses every core, so the sentence is about a build, not about "
        "Python."
    ),
    run=run,
    cores=2,
)
