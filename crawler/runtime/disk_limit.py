"""Pauses before the disk is full (`disk_reserve`), and resumes when there is space again.

A full disk breaks other programs, and a crawl on it can only wait. So the free space is checked once a second; below
the reserve no fetch starts, while those in flight still finish and are stored.

Rules:
- The default reserve is SHARE of the disk, at most MOST bytes: a small disk may be filled, and a large one keeps enough
  for its other users to notice in time.
- Below it the crawl waits for `disk_wait` seconds, then it ends as on a full disk. It resumes by itself at EASE times
  the reserve: without this hysteresis it would pause and resume with every page.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from crawler.core.bounds import PLENTY
from crawler.core.reasons import Pause
from crawler.errors import DiskFull
from crawler.system.text import format_bytes

SHARE = 0.02
MOST = 256 * 1024 * 1024
EASE = 1.25


class DiskLimiter:
    """Blocks fetches while there is too little space below `folder`. `reserve` in bytes, None: the default; `wait` in
    seconds. Calls `release` when `room` has changed, `pause` when a pause begins and ends."""

    def __init__(
        self,
        folder: Path,
        reserve: int | None,
        wait: float,
        release: Callable[[], None],
        pause: Callable[[Pause, bool], None],
    ) -> None:
        self._folder = folder
        self._reserve = reserve
        self._wait = wait
        self._release = release
        self._pause = pause
        self._since: float | None = None
        self._free = 0
        self.look()

    def look(self) -> None:
        """Check the free space. Call it about once a second, from any thread. Raises OSError."""
        disk = os.statvfs(self._folder)
        self._free = disk.f_bavail * disk.f_frsize
        reserve = min(int(SHARE * disk.f_blocks * disk.f_frsize), MOST) if self._reserve is None else self._reserve
        if self._since is None and self._free < reserve:
            self._since = monotonic()
            self._pause(Pause.DISK, True)
        elif self._since is not None and self._free >= EASE * reserve:
            self._since = None
            self._pause(Pause.DISK, False)
            self._release()
        elif self._since is not None and monotonic() - self._since >= self._wait:
            self._release()

    def room(self) -> int:
        """How many fetches may start: PLENTY or 0. Raises DiskFull after `wait` seconds below the reserve."""
        if self._since is None:
            return PLENTY
        if monotonic() - self._since >= self._wait:
            raise DiskFull(
                f"no space left for {self._folder} but the reserve ({format_bytes(self._free)} free); "
                "free some, then resume, or lower disk_reserve"
            )
        return 0
