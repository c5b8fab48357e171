"""Writes the report of a crawl into its directory.

Rules:
- The file is replaced atomically: written under a temporary name, then renamed.
- At the end of a run the report is optional. It gets little time, and a failure is one line in the log, not an error of
  the crawl: `report DIR` can write it later.
- A re-crawl that was not stopped also writes what changed. That reads the pages that changed, so it takes as long as
  they need: about 2 ms of CPU for each.
"""

from __future__ import annotations

import os
from pathlib import Path

from crawler.report.broken_links import at_the_end_of_a_run, search
from crawler.report.page import page
from crawler.report.reading import read
from crawler.storage.directory import DIFF_REPORT, REPORT, CrawlDirectory
from crawler.storage.generations import generations, root_of
from crawler.system.logs import open_log

PATIENCE = 3.0
"""Seconds that a stopped run may spend on it: `docker stop` sends SIGKILL ten seconds after SIGTERM."""
SHARE = 0.02
"""Share of the duration of a run that ended on its own, where that is more: a million URLs need about ten seconds."""


def write(directory: CrawlDirectory, client: str, patience: float | None = None) -> Path:
    """Write `report.html`; returns its path. Raises UsageError, StorageError, OSError."""
    path = directory.path / REPORT
    facts = read(directory, patience)
    facts = search(facts, directory, float("inf") if patience is None else min(patience, at_the_end_of_a_run(facts)))
    replace(path, page(facts, client))
    return path


def write_diff(directory: CrawlDirectory) -> None:
    """Write `diff.html`: what changed since the generation before. Raises UsageError, StorageError, OSError."""
    from crawler.report.diff_page import diff_page
    from crawler.storage.diff import diff

    root = root_of(directory.path)
    if any(number < directory.generation for number in generations(root)):
        found = diff(root, newer=directory.generation)
        replace(directory.path / DIFF_REPORT, diff_page(found, os.fspath(root)))


def replace(path: Path, text: str) -> None:
    """Replace a file atomically. Raises OSError."""
    beside = path.with_name(f".{path.name}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_or_tell(directory: CrawlDirectory, client: str, seconds: float = 0.0) -> None:
    """Write `report.html` within a time limit, or log why not. `seconds`: duration of a run that was not stopped."""
    try:
        write(directory, client, max(PATIENCE, SHARE * seconds))
        if directory.generation and seconds:
            write_diff(directory)
    except Exception as error:
        _tell(directory, error)


def _tell(directory: CrawlDirectory, error: Exception) -> None:
    open_log().warning("no report", run=os.fspath(directory.path), why=f"{type(error).__name__}: {error}")
