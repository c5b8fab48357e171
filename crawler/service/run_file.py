"""`DATA/runs/<run>.json`: what a run is, beside its crawl directory.

Rules:
- It is written before the first process of the run starts, and again when the run ends. A child reads its settings from
  it, and a service whose database is lost rebuilds its rows from it (`serve --rebuild`).
- It holds the settings as the job has them: secrets are references, never values.
- A new file replaces the old one in one step, so a kill leaves one or the other.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from crawler.service.records import JobRecord, RunRecord
from crawler.storage.database import storage_errors

PRIVATE_FILE = 0o600
RUNS = "runs"
"""The folder of the crawl directories in the data folder."""


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file. `settings` are those that the child crawls with, `job` is as it was at the start."""

    run: RunRecord
    job: JobRecord
    settings: dict[str, Any]


def write_run_file(path: Path, content: RunFile) -> None:
    """Write the file, readable by its owner alone. Raises StorageError."""
    beside = path.with_name(f"{path.name}.new")
    with storage_errors(path):
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(content))
        beside.replace(path)


def read_run_file(path: Path) -> RunFile | None:
    """The content of the file; None where it is missing or damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunFile)
    except (OSError, msgspec.DecodeError):
        return None


def run_file(data: Path, run: str) -> Path:
    """The file that describes a run."""
    return data / RUNS / f"{run}.json"


def log_file(data: Path, run: str) -> Path:
    """The log of a run."""
    return data / RUNS / f"{run}.log"
