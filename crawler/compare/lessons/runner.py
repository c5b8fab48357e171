"""Runs lessons, each in a fresh process, so that none can affect or outlive the others.

Rules:
- The process leads its own session. However the lesson ends, its process group is killed.
- Samples come back through a file, not a pipe: an orphan that holds the pipe open would block the reader.
- Every outcome has the load of other processes, which explains most inconclusive results.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from contextlib import suppress
from tempfile import TemporaryFile
from time import perf_counter

import msgspec

from crawler.compare.environment import LoadMeter, environment
from crawler.compare.lessons import experiments
from crawler.compare.lessons.experiments import load
from crawler.compare.lessons.interpreter import LessonPython
from crawler.compare.lessons.judge import LessonOutcome, failed, judge
from crawler.compare.lessons.lesson import Lesson, Samples
from crawler.compare.lessons.predictions import Predictions
from crawler.compare.workload import child_environment
from crawler.runtime.job import cores
from crawler.system.text import escape_unprintable

PATIENCE = 30.0
CHILD = "crawler.compare.lessons.child"


def teach(
    name: str,
    python: LessonPython,
    predictions: Predictions,
    package: str = experiments.__name__,
    patience: float = PATIENCE,
) -> LessonOutcome:
    """Run one lesson on an interpreter and judge it; an error becomes one line of the outcome."""
    lesson: Lesson | None = None
    began, cpu, load_meter = perf_counter(), _our_cpu(), LoadMeter()
    try:
        lesson = load(name, package)
        if cores() < lesson.cores:
            return failed(name, lesson, f"it needs {lesson.cores} cores, and {cores()} may be used")
        written, trouble = _in_a_process(python.path, name, package, patience)
        seconds = perf_counter() - began
        if trouble:
            return failed(name, lesson, trouble, seconds)
        other = load_meter.others(_our_cpu() - cpu)
        busy = (other.foreign + other.steal) * (os.cpu_count() or 1) if other else -1.0
        samples = msgspec.json.decode(written, type=Samples)
        free, predicted = cores() - max(0.0, busy), predictions.of(name, python.build)
        return judge(name, lesson, predicted, samples, seconds=seconds, others=busy, free_cores=free)
    except Exception as error:  # lessons may have bugs, which must not end the others
        return failed(name, lesson, _one_line(f"{type(error).__name__}: {error}"), perf_counter() - began)


def conditions(python: LessonPython, predictions: Predictions) -> dict[str, str]:
    """The Python, the machine and the predictions of the measurement."""
    here = environment()
    return {
        "python": python.name,
        "gil": "on" if python.build.gil else "off",
        "switch interval": f"{python.interval * 1000:g} ms",
        "system": here["system"],
        "cores": here["cores"],
        "predictions": f"sha256 {predictions.sha256}",
    }


def _in_a_process(python: str, name: str, package: str, patience: float) -> tuple[bytes, str]:
    """The output of the lesson, and its error ("" for none)."""
    with TemporaryFile() as out, TemporaryFile() as err:
        command = [python, "-m", CHILD, package, name]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=child_environment(), start_new_session=True
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
        err.seek(0)
        if code:
            lines = err.read().decode(errors="replace").strip().splitlines()
            trouble = _one_line(lines[-1]) if lines else f"its process ended with {code}"
        return out.read(), trouble


def _our_cpu() -> float:
    """CPU seconds of this process and of all that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _one_line(text: str) -> str:
    return escape_unprintable(" ".join(text.split()))[:300]
