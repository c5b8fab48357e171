"""Writes a report to a file that the user has named."""

from __future__ import annotations

from pathlib import Path

from crawler.errors import StorageError, UsageError


def check_html(path: Path, option: str) -> None:
    """Check, before the work that it is to report, that a file of this name can be written. `option`: the flag that has
    named it. Raises UsageError where it is a directory, StorageError where its directory does not exist."""
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a directory; name a file in it with {option}")
    if not path.parent.is_dir():
        raise StorageError(f"cannot write {path}: no directory {path.parent}; choose another file with {option}")


def write_html(path: Path, text: str, option: str) -> None:
    """Replace the file atomically. Raises StorageError."""
    from crawler.report.writing import replace

    try:
        replace(path, text)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; choose another file with {option}"
        ) from error
