"""What does it cost to start a process? From `start()` until its first message has arrived.

fork copies the page tables of the parent; forkserver forks a small process that has been started beforehand and has
imported what is needed; spawn starts a new interpreter, which imports everything again. A thread stands beside them.
"""

from __future__ import annotations

from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread

from crawler.compare.lessons.lesson import Lesson, Samples, above, level, ratio
from crawler.compare.lessons.rounds import alternate, ratios, timed

ROUNDS = 8
BALLAST = 700_000  # objects that a large parent holds


def say(pipe: Connection) -> None:
    """Send the first message."""
    pipe.send_bytes(b"here")


def start_process(method: str) -> float:
    """Seconds until the first message of a new process."""
    context = get_context(method)
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=say, args=(writer,))  # type: ignore[attr-defined]
    seconds = timed(lambda: (process.start(), reader.recv_bytes()))
    process.join()
    reader.close()
    writer.close()
    return seconds


def start_thread() -> float:
    """Seconds until the first message of a new thread."""
    queue: SimpleQueue[bytes] = SimpleQueue()
    thread = Thread(target=queue.put, args=(b"here",))

    def start_and_hear() -> None:
        thread.start()
        queue.get()

    seconds = timed(start_and_hear)
    thread.join()
    return seconds


def fork_large() -> float:
    """Fork while this process holds a large seen set."""
    ballast = {str(n) for n in range(BALLAST)}
    seconds = start_process("fork")
    del ballast
    return seconds


def run() -> Samples:
    """Each way in turn."""
    get_context("forkserver").set_forkserver_preload([__name__])
    seconds = alternate(
        ROUNDS,
        thread=start_thread,
        fork=lambda: start_process("fork"),
        fork_large=fork_large,
        forkserver=lambda: start_process("forkserver"),
        spawn=lambda: start_process("spawn"),
    )
    return {
        "spawn": ratios(seconds["spawn"], seconds["fork"]),
        "forkserver": ratios(seconds["forkserver"], seconds["fork"]),
        "thread": ratios(seconds["fork"], seconds["thread"]),
        "large": ratios(seconds["fork_large"], seconds["fork"]),
        "fork_ms": [1000 * one for one in seconds["fork"]],
    }


LESSON = Lesson(
    title="Starting a process",
    claim="Creating a process is cheap where there is fork (Unix), and expensive where there is not (Windows).",
    measures={
        "spawn": ratio("starts/s, fork : spawn", claim=above(3)),
        "forkserver": ratio("starts/s, fork : forkserver"),
        "thread": ratio("starts/s, a thread : a process by fork"),
        "large": ratio(f"starts/s by fork, small parent : one with {BALLAST:,} more objects"),
        "fork_ms": level("milliseconds to start by fork"),
    },
    why=(
        "spawn starts an interpreter and imports the program again; fork copies page tables only, and so gets "
        "slower with the parent's memory. forkserver is the default since 3.14 because fork copies locks that "
        "other threads hold."
    ),
    run=run,
)
