"""Processes copy, threads share: who sees what whom changed?

The tutorials' sentence leaves out two things. A child by spawn gets no copy of what the parent did, but starts anew.
And a copy by fork costs nothing until somebody writes, but reading a Python object writes its reference count.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

from crawler.compare.lessons.lesson import Lesson, Samples, fact, level
from crawler.compare.lessons.rounds import alternate, answer_of, in_parallel

ROUNDS = 5
OBJECTS = 200_000

names: list[str] = []


def append(tell: Connection | None = None) -> None:
    """Change the variable of the module."""
    names.append("child")
    if tell:
        tell.send(True)


def count(tell: Connection) -> None:
    """How many names this process sees."""
    tell.send(len(names))


def raise_value(tell: Connection, value: Any) -> None:
    """Change a value in shared memory."""
    value.value += 1
    tell.send(True)


def sees(change: Callable[[], object]) -> float:
    """Whether this thread sees a change made by another thread or process."""
    names.clear()
    change()
    return float(names == ["child"])


def has(method: str) -> float:
    """Whether a child has what the parent changed before."""
    names[:] = ["parent"]
    return float(answer_of(count, method=method) == 1)


def shared_value() -> float:
    """Whether the parent sees the change of a Value."""
    value = get_context("fork").Value("i", 0)
    answer_of(raise_value, value)
    return float(value.value == 1)


def private() -> int:
    """Bytes of memory that belong to this process alone."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def grown(tell: Connection, objects: list[str], read: bool) -> None:
    """Bytes that became this child's own while it reads the objects, or does not."""
    before = private()
    total = sum(len(one) for one in objects) if read else 0
    tell.send((private() - before, total))


def copied(objects: list[str], read: bool) -> float:
    """The share of the objects' memory that a child copies."""
    bytes_each = objects[0].__sizeof__()
    copied_bytes, _ = answer_of(grown, objects, read)
    return float(copied_bytes / (len(objects) * bytes_each))


def run() -> Samples:
    """Every case in turn."""
    objects = [f"{number:032}" for number in range(OBJECTS)]
    return alternate(
        ROUNDS,
        False,
        thread_seen=lambda: sees(lambda: in_parallel([Thread(target=append)])),
        process_seen=lambda: sees(lambda: answer_of(append)),
        value_seen=shared_value,
        fork_has=lambda: has("fork"),
        spawn_has=lambda: has("spawn"),
        copied_unread=lambda: copied(objects, read=False),
        copied_read=lambda: copied(objects, read=True),
    )


LESSON = Lesson(
    title="Processes copy, threads share",
    claim="Each process has a copy of every variable, made when it is written (fork); threads share all variables.",
    measures={
        "thread_seen": fact("what a thread changes is seen by the others", claim=True),
        "process_seen": fact("what a child process changes is seen by its parent", claim=False),
        "value_seen": fact("the same of a multiprocessing.Value"),
        "fork_has": fact("a child by fork has what its parent changed before", claim=True),
        "spawn_has": fact("a child by spawn has what its parent changed before", claim=True),
        "copied_unread": level(f"memory copied : that of {OBJECTS:,} objects which a forked child leaves alone"),
        "copied_read": level("the same of objects which it only reads"),
    },
    why=(
        "Threads run in one memory. fork shares its pages until one is written, and reading an object writes its "
        "reference count, so a child that reads a large structure copies it. spawn copies nothing: the child imports "
        "the module anew."
    ),
    run=run,
)
