"""Functions that the tests of callbacks name: processes other than the test's import them."""

from __future__ import annotations

import os
from pathlib import Path

from crawler import FailedUrl, Page

LOG = "CALLBACKS_LOG"
"""The environment variable with the file that they write to."""


def keep(url: str) -> bool:
    """About half of all URLs, the same everywhere."""
    return sum(url.encode()) % 2 == 0


def _note(line: str) -> None:
    with Path(os.environ[LOG]).open("a") as log:
        log.write(line + "\n")  # short, so whole lines also from several processes


def note_page(page: Page) -> None:
    """Note a page."""
    _note(f"page {page.url}")


def note_error(failure: FailedUrl) -> None:
    """Note a failure."""
    _note(f"error {failure.url} {failure.reason}")


def refuse(page: Page) -> None:
    """Fail at the first page."""
    raise ValueError(f"no room for {page.url}")


def refuse_url(url: str) -> bool:
    """Fail at the first URL."""
    raise KeyError(url)
