"""The lost update: two threads change one bank balance without a lock.

As every tutorial writes it, both threads deposit and withdraw the same sum, over and over; if the balance is not 0 at
the end, an update was lost between reading and writing. Then the same with a function call between reading and
writing, as real code has, and that with a Lock. The second line of each is tried with a switch interval of 0.1 ms:
there "it printed 0" means more, because the interpreter is asked to switch fifty times as often.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock, Thread

from crawler.compare.lessons.lesson import Lesson, Samples, fact, ratio
from crawler.compare.lessons.rounds import alternate, in_parallel, ratios, timed

TIMES = 100_000
RUNS = 8  # runs per sample
ROUNDS = 5
USUAL, HASTY = 5e-3, 1e-4  # switch intervals in seconds

balance = 0
lock = Lock()


def as_written(n: int) -> None:
    """The code of the tutorials, verbatim."""
    global balance
    balance = balance + n
    balance = balance - n


def plus(a: int, b: int) -> int:
    """A call: here the interpreter may switch to another thread."""
    return a + b


def through_a_call(n: int) -> None:
    """Read, call, write."""
    global balance
    balance = plus(balance, n)
    balance = plus(balance, -n)


def with_a_lock(n: int) -> None:
    """The same, as one step."""
    global balance
    with lock:
        balance = plus(balance, n)
        balance = plus(balance, -n)


def two_threads(change: Callable[[int], None], times: int = TIMES) -> int:
    """The balance after two threads; it should be 0."""
    global balance
    balance = 0

    def run_thread(n: int) -> None:
        for _ in range(times):
            change(n)

    in_parallel([Thread(target=run_thread, args=(n,)) for n in (5, 8)])
    return balance


def wrong(change: Callable[[int], None], interval: float, times: int = TIMES) -> float:
    """Whether any of `RUNS` runs ends with a wrong balance: 1.0 or 0.0."""
    sys.setswitchinterval(interval)
    try:
        return float(any(two_threads(change, times) for _ in range(RUNS)))
    finally:
        sys.setswitchinterval(USUAL)


def run() -> Samples:
    """Look for wrong results, then measure the cost of an uncontended lock."""
    counts = alternate(
        ROUNDS,
        as_written=lambda: wrong(as_written, USUAL),
        as_written_hasty=lambda: wrong(as_written, HASTY),
        call=lambda: wrong(through_a_call, USUAL),
        call_hasty=lambda: wrong(through_a_call, HASTY),
        lock_hasty=lambda: wrong(with_a_lock, HASTY, TIMES // 10),
    )

    def alone(change: Callable[[int], None]) -> float:
        def deposits() -> None:
            for _ in range(TIMES // 5):
                change(5)

        return timed(deposits)

    costs = alternate(ROUNDS, bare=lambda: alone(through_a_call), locked=lambda: alone(with_a_lock))
    return {**counts, "lock_rate": ratios(costs["bare"], costs["locked"])}


LESSON = Lesson(
    title="The lost update",
    claim="Two threads that do balance = balance + n; balance = balance - n without a Lock end with a wrong balance.",
    measures={
        "as_written": fact(f"a balance is wrong in {RUNS} runs, as written", claim=True),
        "as_written_hasty": fact("the same, switching every 0.1 ms instead of 5 ms"),
        "call": fact(f"a balance is wrong in {RUNS} runs, a call between read and write"),
        "call_hasty": fact("the same, switching every 0.1 ms"),
        "lock_hasty": fact("the same with a Lock, switching every 0.1 ms"),
        "lock_rate": ratio("deposits/s, with a Lock that nobody contends : without"),
    },
    why=(
        "Since CPython 3.10 a thread passes the interpreter on only at calls and at jumps back, and there is "
        "neither between this read and this write: it is safe by accident. One call in between, or a build "
        "without the GIL, brings the loss back."
    ),
    run=run,
)
