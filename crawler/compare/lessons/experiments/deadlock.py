"""Deadlocks: two locks in different order, and a process that is joined before its Queue is read.

Every case runs in a process of its own and is killed when it has not ended in time.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Barrier, BrokenBarrierError, Lock, Thread
from time import sleep

from crawler.compare.lessons.lesson import Lesson, Samples, fact
from crawler.compare.lessons.rounds import alternate, answer_of, in_parallel

ROUNDS = 3
PATIENCE = 0.8
SMALL, LARGE = 1_000, 1_000_000  # bytes; a pipe holds 64 KiB


def two_locks(tell: Connection, same_order: bool, timeout: float) -> None:
    """Two threads take two locks each, and meet between the first and the second lock if they can.
    With a `timeout` (seconds, 0 for none) a thread that does not get its second lock lets go and starts over."""
    one, other, both_hold_one, done = Lock(), Lock(), Barrier(2), list[int]()

    def transfer(number: int, first: Lock, second: Lock) -> None:
        while number not in done:
            with first:
                with suppress(BrokenBarrierError):
                    both_hold_one.wait(PATIENCE / 16)
                if second.acquire(timeout=timeout * (1 + 4 * number) if timeout else -1):
                    second.release()
                    done.append(number)
            sleep(timeout)  # outside the lock, so that the other can have it

    pairs = [(one, other), (one, other) if same_order else (other, one)]
    in_parallel([Thread(target=transfer, args=(number, *pair)) for number, pair in enumerate(pairs)])
    tell.send(len(done) == 2)


def queue_joined(tell: Connection, size: int, read_first: bool) -> None:
    """A child puts a message into a Queue; the parent waits for its end before it reads, or after."""
    context = get_context("fork")
    queue = context.Queue()
    child = context.Process(target=queue.put, args=(bytes(size),), daemon=True)
    child.start()
    if read_first:
        queue.get()
    child.join(PATIENCE / 2)
    ended = not child.is_alive()
    child.kill()
    tell.send(ended)


def run() -> Samples:
    """Every case in turn; 1 where it ends."""

    def ends(case: partial[None]) -> float:
        return float(answer_of(case, patience=PATIENCE) is True)

    return alternate(
        ROUNDS,
        False,
        crossed=lambda: ends(partial(two_locks, same_order=False, timeout=0)),
        ordered=lambda: ends(partial(two_locks, same_order=True, timeout=0)),
        timed=lambda: ends(partial(two_locks, same_order=False, timeout=0.01)),
        queue_small=lambda: ends(partial(queue_joined, size=SMALL, read_first=False)),
        queue_large=lambda: ends(partial(queue_joined, size=LARGE, read_first=False)),
        queue_read=lambda: ends(partial(queue_joined, size=LARGE, read_first=True)),
    )


LESSON = Lesson(
    title="Deadlocks",
    claim="Threads that hold one lock each and want the other's hang for ever and must be killed.",
    measures={
        "crossed": fact("two threads that take two locks in different order end", claim=False),
        "ordered": fact("two threads that take them in the same order end"),
        "timed": fact("different order, but acquire(timeout=...) and start over: they end"),
        "queue_small": fact(f"a child that put {SMALL:,} bytes into a Queue ends before they are read"),
        "queue_large": fact(f"the same of {LARGE:,} bytes"),
        "queue_read": fact(f"a child that put {LARGE:,} bytes into a Queue ends after they are read"),
    },
    why=(
        "Each waits for what the other will never release; an order of locks, or a timeout with a new start, prevents "
        "it. A Queue hides a third waiting: the child's thread that feeds the pipe ends only when all is written, and "
        "a pipe holds 64 KiB, so join() before get() hangs with large messages only."
    ),
    run=run,
)
