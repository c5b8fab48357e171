"""The process of one lesson: `python -m crawler.compare.lessons.child PACKAGE NAME` prints a Report as JSON.

When its parent ends, the kernel sends it SIGHUP (PR_SET_PDEATHSIG, Linux), and it kills its process group. Imports are
lazy, because processes that a lesson spawns import this module again.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1


def main(package: str, name: str) -> None:
    """Run a lesson and print its Report."""
    from importlib import import_module

    import msgspec

    from crawler.compare.lessons.lesson import Lesson, Report
    from crawler.compare.lessons.rounds import speed_of_two

    _die_with_parent()
    lesson: Lesson = import_module(f"{package}.{name}").LESSON
    before = (speed_of_two(),) if lesson.cores > 1 else ()
    samples = lesson.run()
    after = (speed_of_two(),) if lesson.cores > 1 else ()
    _stop_fork_server()
    sys.stdout.write(msgspec.json.encode(Report(samples, before + after)).decode())


def _stop_fork_server() -> None:
    """Stop the fork server, if there is one, and wait for it: otherwise its children's CPU would not count as ours."""
    from multiprocessing import forkserver

    with suppress(AttributeError):
        forkserver._forkserver._stop()  # type: ignore[attr-defined]


def _die_with_parent() -> None:
    import ctypes

    def end(number: int, frame: object) -> None:
        os.killpg(os.getpgrp(), signal.SIGKILL)

    signal.signal(signal.SIGHUP, end)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
