"""The global interpreter lock: how much of a machine do N busy threads use?

CPU % alone says little: threads that fight for a lock burn CPU without getting anywhere, so the work done per second
stands beside it. The same threads are tried on a C function that lets the lock go (SHA-256 of a large block): it shows
in every round how many cores the machine had to give. The same loop runs in processes, each of which has an interpreter
and a lock of its own.
"""

from __future__ import annotations

from hashlib import sha256
from multiprocessing import get_context

from crawler.compare.lessons.lesson import Lesson, Samples, above, level, ratio
from crawler.compare.lessons.rounds import Effort, alternate, busy_loop, effort, ratios

BUSY = 2
SECONDS = 0.08
ROUNDS = 16
BLOCK = bytes(1_000_000)


def hash_block() -> None:
    """The same kind of load, in C: hashlib releases the GIL for more than 2 KiB."""
    sha256(BLOCK).digest()


def alone(_: int) -> Effort:
    """The work of one process with one thread."""
    return effort(busy_loop, 1, SECONDS)


def run() -> Samples:
    """Two threads against one, in Python and in C; two processes against one."""

    def processes(count: int) -> Effort:
        efforts = pool.map(alone, range(count), chunksize=1)
        return Effort(sum(one.rate for one in efforts), sum(one.cores for one in efforts))

    with get_context("fork").Pool(BUSY) as pool:
        efforts = alternate(
            ROUNDS,
            one_thread=lambda: effort(busy_loop, 1, SECONDS),
            two_threads=lambda: effort(busy_loop, BUSY, SECONDS),
            one_process=lambda: processes(1),
            two_processes=lambda: processes(BUSY),
            one_hashing=lambda: effort(hash_block, 1, SECONDS),
            two_hashing=lambda: effort(hash_block, BUSY, SECONDS),
        )
    rates = {arm: [one.rate for one in repeated] for arm, repeated in efforts.items()}
    return {
        "cores_used": [one.cores for one in efforts["two_threads"]],
        "cores_free": [one.cores for one in efforts["two_hashing"]],
        "threads": ratios(rates["two_threads"], rates["one_thread"]),
        "processes": ratios(rates["two_processes"], rates["one_process"]),
        "hashing": ratios(rates["two_hashing"], rates["one_hashing"]),
    }


LESSON = Lesson(
    title="The GIL: two busy threads",
    claim=(
        "On 4 cores, 4 busy Python threads show 160 % CPU, which is less than two cores; written in C they would "
        "show 400 %."
    ),
    measures={
        "cores_used": level("cores used by 2 busy threads (1.6 is 160 %)", claim=above(1.2), needs=1.2),
        "cores_free": level("cores used by 2 threads that hash in C, in turn with them"),
        "threads": ratio("work/s, 2 threads : 1", needs=1.6),
        "processes": ratio("work/s, 2 processes : 1", needs=1.6),
        "hashing": ratio("SHA-256/s, 2 threads : 1", needs=1.6),
    },
    why=(
        "Since CPython 3.2 a waiting thread sleeps until it is handed the lock, so all threads together use one "
        "core and do the work of one; the 160 % were the fight for the lock of Python 2. Processes and C code "
        "that releases the lock scale."
    ),
    run=run,
    cores=2,
    control="cores_free",
)
