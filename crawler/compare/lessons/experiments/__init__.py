"""One file per claim, in the order in which they are best read. A file holds `LESSON` and the code that it runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawler.compare.lessons.lesson import Lesson

NAMES = (
    "thread_identity",
    "shared_or_copied",
    "gil",
    "hundred_threads",
    "switch_interval",
    "free_threading",
    "lost_update",
    "contended_lock",
    "deadlock",
    "local_isolation",
    "thread_local",
    "start_cost",
    "pickle_failures",
    "queue_and_pipe",
    "pool_waits",
    "pool_size",
    "master_worker",
    "switching",
    "running_tasks",
    "cpu_or_io",
    "native_code",
    "blocking_the_loop",
    "loop_per_core",
)


def load(name: str, package: str = __name__) -> Lesson:
    """The lesson of a file. Raises any error of its import."""
    lesson: Lesson = import_module(f"{package}.{name}").LESSON
    return lesson
