"""The Python that runs the experiments: this one, or any other from 3.11 on. It needs no package, only the standard
library."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import NamedTuple

from crawler.compare.workload import child_environment
from crawler.errors import UsageError
from crawler.system.text import escape_unprintable

LEAST = (3, 11)
PATIENCE = 20.0
LONGEST = 120  # characters of another program's error
PROBE = """
import json, platform, sys
gil = getattr(sys, "_is_gil_enabled", lambda: True)()
interval = getattr(sys, "getswitchinterval", lambda: 0)()
print(json.dumps([list(sys.version_info[:3]), gil, platform.python_implementation(), interval]))
"""


class Build(NamedTuple):
    """What predictions depend on: the version (3, 13), and whether threads share a global lock."""

    version: tuple[int, int]
    gil: bool


class LessonPython(NamedTuple):
    """An interpreter: its path, its build, its name for people, its switch interval in seconds."""

    path: str
    build: Build
    name: str
    interval: float


def interpreter(python: str = sys.executable) -> LessonPython:
    """The interpreter at a path, or of a name on the PATH. Raises UsageError where it is no Python that can be used."""
    path, needed = shutil.which(python), ".".join(map(str, LEAST))
    if not path:
        raise UsageError(f"--python {python}: no such program; name a Python from {needed} on")
    try:
        done = subprocess.run(
            [path, "-c", PROBE], capture_output=True, text=True, timeout=PATIENCE, env=child_environment(), check=True
        )
        version, gil, implementation, interval = json.loads(done.stdout)
        exact = ".".join(map(str, version))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        line = escape_unprintable(said[-said[0].startswith("Traceback")])[:LONGEST] if said else "no answer"
        raise UsageError(f"--python {python}: it is no Python from {needed} on: {line}") from error
    if tuple(version[:2]) < LEAST:
        raise UsageError(f"--python {python}: it is Python {exact}; name one from {needed} on")
    name = f"{implementation} {exact}{'' if gil else ', free-threaded'}"
    return LessonPython(path, Build((version[0], version[1]), gil), name, interval)
