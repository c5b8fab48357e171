"""What does a Lock cost that others want, too? All work under one Lock, against the same work in one thread.

Short sections of Python code first: with the GIL only one thread ran anyway. Then sections that wait 2 ms while they
hold the Lock, as with a request under a lock: what was parallel becomes a queue.
"""

from __future__ import annotations

from contextlib import nullcontext
from threading import Lock
from time import sleep
from typing import Any

from crawler.compare.lessons.lesson import Lesson, Samples, below, ratio
from crawler.compare.lessons.rounds import alternate, effort, ratios

THREADS = 8
SECONDS = 0.1
WAIT = 0.002
ROUNDS = 8


class Balance:
    """A balance, its Lock, and two ways to spend time while holding it."""

    def __init__(self, lock: Any) -> None:
        self.lock, self.balance = lock, 0

    def deposit(self) -> None:
        """Hold the Lock for a few bytecodes, fifty times."""
        for _ in range(50):
            with self.lock:
                self.balance += 1

    def wait(self) -> None:
        """Hold the Lock while waiting."""
        with self.lock:
            sleep(WAIT)


def run() -> Samples:
    """With one thread and with several, with the Lock and without."""
    locked, free = Balance(Lock()), Balance(nullcontext())
    efforts = alternate(
        ROUNDS,
        one=lambda: effort(locked.deposit, 1, SECONDS),
        two=lambda: effort(locked.deposit, 2, SECONDS),
        waiting=lambda: effort(locked.wait, THREADS, SECONDS),
        waiting_free=lambda: effort(free.wait, THREADS, SECONDS),
        waiting_one=lambda: effort(locked.wait, 1, SECONDS),
    )
    rates = {arm: [one.rate for one in repeated] for arm, repeated in efforts.items()}
    return {
        "deposits": ratios(rates["two"], rates["one"]),
        "waiting": ratios(rates["waiting"], rates["waiting_free"]),
        "queue": ratios(rates["waiting"], rates["waiting_one"]),
    }


LESSON = Lesson(
    title="A Lock under contention",
    claim="Code under a Lock runs in one thread at a time, so a Lock takes away all that threads gain.",
    measures={
        "deposits": ratio("short deposits/s under one Lock, 2 threads : 1", claim=below(1.1)),
        "waiting": ratio(f"waits/s, {THREADS} threads under one Lock : without it", claim=below(0.5)),
        "queue": ratio(f"waits/s under one Lock, {THREADS} threads : 1", claim=below(1.1)),
    },
    why=(
        "A section that waits under a Lock makes a queue of all threads, whatever the build. Short sections lose "
        "little to each other with the GIL, because a thread is rarely interrupted in one; without the GIL the Lock is "
        "really contended."
    ),
    run=run,
)
