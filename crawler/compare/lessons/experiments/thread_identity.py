"""Are Python's threads real, and what are they called? The kernel's list of tasks is the witness."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread
from typing import NamedTuple

from crawler.compare.lessons.lesson import Lesson, Samples, fact
from crawler.compare.lessons.rounds import alternate, in_parallel

THREADS = 10
ROUNDS = 5


class ThreadIdentity(NamedTuple):
    """What a running thread knows of itself, and what the kernel knows of it."""

    native_id: int
    name: str
    kernel_name: str
    tasks: int


def look(named: bool) -> list[ThreadIdentity]:
    """All threads look while all are running."""
    seen: list[ThreadIdentity] = []
    started, done = Barrier(THREADS), Barrier(THREADS)

    def thread() -> None:
        started.wait()
        number, tasks = threading.get_native_id(), len(list(Path("/proc/self/task").iterdir()))
        kernel_name = Path(f"/proc/self/task/{number}/comm").read_text().strip()
        seen.append(ThreadIdentity(number, threading.current_thread().name, kernel_name, tasks))
        done.wait()

    in_parallel([Thread(target=thread, name=f"crawl-{number}" if named else None) for number in range(THREADS)])
    return seen


def run() -> Samples:
    """Threads with names and without."""
    found = alternate(ROUNDS, False, named=lambda: look(True), unnamed=lambda: look(False))
    before = len(threading.enumerate())

    def each(looks: list[list[ThreadIdentity]], test: Callable[[list[ThreadIdentity]], bool]) -> list[float]:
        return [float(test(seen)) for seen in looks]

    expected = {f"crawl-{number}" for number in range(THREADS)}
    return {
        "tasks": each(found["named"], lambda seen: {one.tasks for one in seen} == {THREADS + before}),
        "ids": each(found["named"], lambda seen: len({one.native_id for one in seen}) == THREADS),
        "main": [float(threading.current_thread().name == "MainThread")] * ROUNDS,
        "named": each(found["named"], lambda seen: {one.name for one in seen} == expected),
        "numbered": each(found["unnamed"], lambda seen: all(one.name[7:].isdigit() for one in seen)),
        "kernel": each(found["named"], lambda seen: {one.kernel_name for one in seen} == expected),
    }


LESSON = Lesson(
    title="Threads are real, and named",
    claim="Python's threads are real, not simulated; the first is called MainThread, the others Thread-1, Thread-2.",
    measures={
        "tasks": fact(f"{THREADS} threads are {THREADS} tasks of the kernel", claim=True),
        "ids": fact("each has an id of its own in the kernel", claim=True),
        "main": fact("the first thread is called MainThread", claim=True),
        "named": fact("a thread given a name is known by it to current_thread()", claim=True),
        "numbered": fact("one without a name is called Thread-N and nothing more", claim=True),
        "kernel": fact("the kernel (ps, top, perf) shows the given name"),
    },
    why=(
        "A Thread is a POSIX thread. Since 3.10 its default name also tells its function, as in Thread-1 (work), and "
        "since 3.14 the name is handed to the kernel, so that ps and perf show it."
    ),
    run=run,
)
