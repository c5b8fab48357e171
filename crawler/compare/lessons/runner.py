"""Runs lessons, each in a fresh process of its own, so that none can disturb, outlive or end the others.

Rules:
- The process leads a session of its own. However the lesson ends, what is left in that session is killed.
- Samples come back through a file, not a pipe: an orphan that holds the pipe open would be waited for.
- What other processes of the machine took meanwhile stands beside every outcome: it explains most that is inconclusive.
"""

from __future__ import annotations

import os
import platform
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from math import inf
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter

import msgspec

from crawler.compare.lessons import experiments
from crawler.compare.lessons.lesson import Lesson, LessonOutcome, Report, failed, judge
from crawler.runtime.job import cores
from crawler.system.text import escape_unprintable

PATIENCE = 30.0
CHILD = "crawler.compare.lessons.child"


def load(name: str, package: str = experiments.__name__) -> Lesson:
    """The lesson of that file. Raises whatever its import does."""
    lesson: Lesson = import_module(f"{package}.{name}").LESSON
    return lesson


def teach(name: str, package: str = experiments.__name__, patience: float = PATIENCE) -> LessonOutcome:
    """Run one lesson and judge it; whatever goes wrong with it becomes one line of the outcome."""
    lesson: Lesson | None = None
    began, others = perf_counter(), _Others()
    try:
        lesson = load(name, package)
        if cores() < lesson.cores:
            return failed(name, lesson, f"it needs {lesson.cores} cores, and {cores()} may be used")
        written, trouble = _in_a_process(name, package, patience)
        seconds = perf_counter() - began
        if trouble:
            return failed(name, lesson, trouble, seconds)
        busy = others.cores()
        report = msgspec.json.decode(written, type=Report)
        free = min(cores() - max(0.0, busy), *report.speed, inf)
        return judge(name, lesson, report.samples, seconds=seconds, others=busy, free_cores=free)
    except Exception as error:  # a lesson is somebody's code: its bugs must not end the others
        return failed(name, lesson, _one_line(f"{type(error).__name__}: {error}"), perf_counter() - began)


def conditions() -> dict[str, str]:
    """Where this is measured."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}, {'with' if gil else 'without'} GIL",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(cores()),
        "switch interval": f"{sys.getswitchinterval() * 1000:g} ms",
    }


def _in_a_process(name: str, package: str, patience: float) -> tuple[bytes, str]:
    """What the lesson wrote, and what went wrong with it."""
    root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with TemporaryFile() as out, TemporaryFile() as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", CHILD, package, name],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=complaints,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )
        trouble = ""
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            code, trouble = 0, f"not done after {patience:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        complaints.seek(0)
        if code:
            lines = complaints.read().decode(errors="replace").strip().splitlines()
            trouble = _one_line(lines[-1]) if lines else f"its process ended with {code}"
        return out.read(), trouble


class _Others:
    """Counts the cores that processes other than ours keep busy, from its making on. Linux only: elsewhere -1."""

    def __init__(self) -> None:
        self._at, self._busy, self._ours = perf_counter(), _machine_busy(), _our_cpu()

    def cores(self) -> float:
        if self._busy < 0:
            return -1.0
        taken = _machine_busy() - self._busy - (_our_cpu() - self._ours)
        return max(0.0, taken / (perf_counter() - self._at))


def _machine_busy() -> float:
    """CPU seconds that the machine spent on anything but idling; -1 where nobody says."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return -1.0
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def _our_cpu() -> float:
    """CPU seconds of this process and of all that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _one_line(text: str) -> str:
    return escape_unprintable(" ".join(text.split()))[:300]
