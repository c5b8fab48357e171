"""How much memory a crawl may take (`max_memory`), and the brake that holds it there.

Rules:
- What grows with a crawl (queues, hosts, marks of URLs) has bounds that follow from `max_memory`; what is beyond them
  waits on disk (crawler/core/bounds.py).
- What is in flight cannot be bounded beforehand: a body may have max_body bytes, and most have a hundredth. So the
  whole process tree is weighed once a second. Beyond BRAKE_AT of the limit one fetch goes out until the next weighing;
  as long as it does not get heavier twice as many as before, up to MOST. Slow, but never stuck, and never dead.
- The default is SHARE of what this machine, or the container (cgroup v1 or v2), has.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from crawler.core.bounds import PLENTY, Bounds

MIB = 1 << 20
LEAST = 100 * MIB
SHARE = 0.5
BRAKE_AT = 0.9
MOST = 64
BASE = 64 * MIB
"""What a crawl takes before it remembers anything: the interpreter, the client, its buffers."""
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
CGROUPS = Path("/sys/fs/cgroup")


def parse_size(text: str) -> int:
    """Bytes: a number, with K, M, G or T for powers of 1024. Raises ValueError, in one line."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("expected a size like 200M or 2G")
    size = int(float(match[1]) * UNITS[match[2].lower()])
    if size < LEAST:
        raise ValueError(f"expected at least {LEAST // MIB}M")
    return size


def default_memory() -> int:
    """The bytes that a crawl takes where nobody says: a share of what there is."""
    return max(LEAST, int(SHARE * min(_machine(), _container())))


def bounds_within(memory: int) -> Bounds:
    """What may be in memory at once when there are so many bytes.

    Measured: a host costs up to 4 KB with its robots.txt, a link in a queue 400 bytes, a mark 10 bytes. They may take
    an eighth, an eighth and a quarter of what is free; half of it is left for what is in flight and not yet on disk.
    """
    free = memory - BASE
    return Bounds(hosts=free // 8 // 4096, links=free // 8 // 400, marks=free // 4 // 10)


class Brake:
    """Lets few fetches out while a crawl takes too much memory. `release` is called when there is room again."""

    def __init__(self, memory: int, release: Callable[[], None]) -> None:
        self._limit = memory * BRAKE_AT
        self._release = release
        self._room = PLENTY
        self._last = memory
        self._few = 1

    def weigh(self, memory: int) -> None:
        """So many bytes are taken now. To be called about once a second, from any thread."""
        held = self._room < PLENTY
        self._few = 1 if memory > self._last else min(2 * self._few, MOST)
        self._last = memory
        self._room = self._few if memory > self._limit else PLENTY
        if held:
            self._release()

    def room(self) -> int:
        """How many fetches may go out."""
        room = self._room
        if room < PLENTY:
            self._room = 0
        return room


def _machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _container() -> int:
    """The limit of the innermost cgroup that has one; more than any machine has where there is none."""
    limits = [limit for path in _limit_files() if (limit := _read(path)) is not None]
    return min(limits, default=1 << 62)


def _limit_files() -> list[Path]:
    """Where the limits of our cgroup and of those around it stand, in both versions."""
    files: list[Path] = []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return files
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = CGROUPS / "memory" if controllers else CGROUPS
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        own = root / group.lstrip("/")
        files += [inner / name for inner in (own, *own.parents) if inner == root or root in inner.parents]
    return files


def _read(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
