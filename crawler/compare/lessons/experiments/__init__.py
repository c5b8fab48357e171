"""One file per claim, in the order in which they are best read. A file holds `LESSON` and the code that it runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawler.compare.lessons.lesson import Lesson

NAMES = (
    "gil",
    "lost_update",
    "thread_local",
    "cpu_or_io",
    "pool_size",
    "start_cost",
    "queue_and_pipe",
    "master_worker",
    "switching",
    "blocking_the_loop",
)


def load(name: str, package: str = __name__) -> Lesson:
    """The lesson of a file. Raises any error of its import."""
    lesson: Lesson = import_module(f"{package}.{name}").LESSON
    return lesson
