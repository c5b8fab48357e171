"""A clock that a test sets, for what a crawl directory dates: its commits, and the choice of a re-crawl."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

DAY = 86_400.0
EPOCH = 1_750_000_000.0
"""The Unix time at which it begins."""


class VirtualClock:
    """`now` is its Unix time; it stands still until it is set."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> float:
        return self.now

    def pass_days(self, days: float) -> None:
        """Let time pass."""
        self.now += days * DAY


@contextmanager
def virtual_clock() -> Iterator[VirtualClock]:
    """Context manager: the clock of all directories that this process works on. Not of other processes."""
    clock = VirtualClock()
    with patch("crawler.runtime.recorder.time", clock), patch("crawler.storage.directory.time", clock):
        yield clock
