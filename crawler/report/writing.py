"""Writes the report of a crawl into its directory.

Rules:
- The file is written beside its name and renamed: it is whole or the one before.
- At the end of a run a report is a courtesy. It has little time, and whatever goes wrong with it is one line in the
  log, never the end of the crawl: `report DIR` writes it at leisure.
"""

from __future__ import annotations

import os
from pathlib import Path

from crawler.report.page import page
from crawler.report.reading import read
from crawler.storage.directory import REPORT, CrawlDirectory
from crawler.system.logs import open_log

PATIENCE = 3.0
"""Seconds that a stopped run may take for it: whoever stops a container waits ten in all."""
SHARE = 0.02
"""How much of a run that ended by itself it may take, where that is more: a million URLs need about ten seconds."""


def write(directory: CrawlDirectory, client: str, patience: float | None = None) -> Path:
    """Write `report.html`; where it is. Raises UsageError, StorageError, OSError."""
    path = directory.path / REPORT
    replace(path, page(read(directory, patience), client))
    return path


def replace(path: Path, text: str) -> None:
    """A file in place of the one that was there, as a whole. Raises OSError."""
    beside = path.with_name(f".{path.name}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_or_tell(directory: CrawlDirectory, client: str, seconds: float = 0.0) -> None:
    """Write it quickly, or log why not; `seconds` is how long a run took that nobody stopped."""
    try:
        write(directory, client, max(PATIENCE, SHARE * seconds))
    except Exception as error:
        _tell(directory, error)


def _tell(directory: CrawlDirectory, error: Exception) -> None:
    open_log().warning("no report", run=os.fspath(directory.path), why=f"{type(error).__name__}: {error}")
