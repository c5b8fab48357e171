"""Whom does a threading.local belong to? To a thread, and so to all coroutines of its loop together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from multiprocessing.connection import Connection
from threading import Barrier, Thread, local
from typing import Any

from crawler.compare.lessons.lesson import Lesson, Samples, fact
from crawler.compare.lessons.rounds import alternate, answer_of, in_parallel

WORKERS = 8
ROUNDS = 5

student = local()
variable: ContextVar[int] = ContextVar("student")


def threads_keep(holder: Any) -> float:
    """Whether each thread reads what it wrote, after all have written."""
    barrier, kept = Barrier(WORKERS), list[bool]()

    def work(number: int) -> None:
        holder.name = number
        barrier.wait()
        kept.append(holder.name == number)

    in_parallel([Thread(target=work, args=(number,)) for number in range(WORKERS)])
    return float(all(kept))


def new_thread_has() -> float:
    """Whether a new thread sees what the thread that started it wrote."""
    student.name, found = "parent", list[bool]()
    in_parallel([Thread(target=lambda: found.append(hasattr(student, "name")))])
    return float(found[0])


def tell_name(tell: Connection) -> None:
    """What a child process finds."""
    tell.send(getattr(student, "name", None))


def child_has() -> float:
    """Whether a child by fork sees what the thread that forked it wrote."""
    student.name = "parent"
    return float(answer_of(tell_name) == "parent")


def coroutines_keep(write: Callable[[int], object], read: Callable[[], int]) -> float:
    """Whether each task reads what it wrote, after all have written."""

    async def work(number: int) -> bool:
        write(number)
        await asyncio.sleep(0)
        return read() == number

    async def all_work() -> bool:
        return all(await asyncio.gather(*(work(number) for number in range(WORKERS))))

    return float(asyncio.run(all_work()))


def run() -> Samples:
    """Every case in turn."""
    return alternate(
        ROUNDS,
        False,
        global_object=lambda: threads_keep(type("Global", (), {})()),
        threads=lambda: threads_keep(student),
        new_thread=new_thread_has,
        child=child_has,
        coroutines=lambda: coroutines_keep(lambda number: setattr(student, "name", number), lambda: student.name),
        context=lambda: coroutines_keep(variable.set, variable.get),
    )


LESSON = Lesson(
    title="ThreadLocal isolation",
    claim="A threading.local is a global variable of which every thread has its own, so nobody disturbs anybody.",
    measures={
        "global_object": fact(f"an ordinary global keeps the values of {WORKERS} threads apart", claim=False),
        "threads": fact(f"a threading.local keeps the values of {WORKERS} threads apart", claim=True),
        "new_thread": fact("a new thread has the value of the thread that started it", claim=False),
        "child": fact("a child by fork has the value of the thread that forked it"),
        "coroutines": fact(f"a threading.local keeps the values of {WORKERS} coroutines apart", claim=True),
        "context": fact("a ContextVar does"),
    },
    why=(
        "A local belongs to a thread. Coroutines of a loop are one thread and overwrite each other's value at every "
        "await; a ContextVar belongs to a task. A forked child goes on as a copy of the thread that forked it."
    ),
    run=run,
)
