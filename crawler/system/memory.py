"""The memory of the machine and of the container (cgroup v1 or v2), and parsing of sizes like "2G"."""

from __future__ import annotations

import os
import re
from pathlib import Path

MIB = 1 << 20
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
CGROUPS = Path("/sys/fs/cgroup")


def parse_size(text: str) -> int:
    """Bytes: a number, with K, M, G or T for powers of 1024. Raises ValueError, in one line."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("expected a size like 200M or 2G")
    return int(float(match[1]) * UNITS[match[2].lower()])


def machine_memory() -> int:
    """Bytes that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def container_memory() -> int:
    """Bytes that the innermost cgroup with a limit allows; more than any machine has where there is none."""
    limits = [limit for path in limit_files() if (limit := _read(path)) is not None]
    return min(limits, default=1 << 62)


def limit_files() -> list[Path]:
    """The files with the memory limits of our cgroup and its ancestors, in both versions."""
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


def oom_kills() -> int:
    """How many processes the OOM killer has ended in our cgroup and its ancestors."""
    total = 0
    for path in limit_files():
        for name in ("memory.events", "memory.oom_control"):
            try:
                lines = path.with_name(name).read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return total


def _read(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
