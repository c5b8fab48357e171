"""Runs lessons, each in a fresh process, so that none can affect or outlive the others.

Rules:
- The process leads its own session. However the lesson ends, its process group is killed.
- Samples come back through a file, not a pipe: an orphan that holds the pipe open would block the reader.
- Every outcome has the load of other processes, which explains most inconclusive results.
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
    """The lesson of a file. Raises any error of its import."""
    lesson: Lesson = import_module(f"{package}.{name}").LESSON
    return lesson


def teach(name: str, package: str = experiments.__name__, patience: float = PATIENCE) -> LessonOutcome:
    """Run one lesson and judge it; an error becomes one line of the outcome."""
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
    except Exception as error:  # lessons may have bugs, which must not end the others
        return failed(name, lesson, _one_line(f"{type(error).__name__}: {error}"), perf_counter() - began)


def conditions() -> dict[str, str]:
    """The machine and the Python of the measurement."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}, {'with' if gil else 'without'} GIL",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(cores()),
        "switch interval": f"{sys.getswitchinterval() * 1000:g} ms",
    }


def _in_a_process(name: str, package: str, patience: float) -> tuple[bytes, str]:
    """The output of the lesson, and its error ("" for none)."""
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
    """Measures the cores kept busy by other processes since it was created. Linux only: elsewhere -1."""

    def __init__(self) -> None:
        self._at, self._busy, self._ours = perf_counter(), _machine_busy(), _our_cpu()

    def cores(self) -> float:
        if self._busy < 0:
            return -1.0
        taken = _machine_busy() - self._busy - (_our_cpu() - self._ours)
        return max(0.0, taken / (perf_counter() - self._at))


def _machine_busy() -> float:
    """CPU seconds that the machine was not idle; -1 where unknown."""
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
