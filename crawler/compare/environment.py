"""The environment of a comparison: what must not change within a session, and the noise on the machine during a trial.

Rules, and why:
- One session does not mix trials of different machines, kernels, Pythons, libraries or crawlers: every key of the
  record except those in `VARYING` must be the same when a session is resumed.
- The load average covers the past, this comparison included, but a trial is disturbed by other processes during it. So
  the noise is judged by the CPU time of processes that are not ours, and the load average is only recorded.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from crawler.compare.launch import proc_value
from crawler.compare.placement import placement
from crawler.runtime.job import cores

PACKAGES = ("crawler", "aiohttp", "uvloop", "pycurl", "urllib3", "turbohtml", "msgspec", "httptools", "xxhash")
VARYING = frozenset({"load"})
OUR_CODE = ("crawler", "variants")
NOT_UNDER_TEST = ("crawler/compare/", "crawler/cli/")


def environment() -> dict[str, str]:
    """The machine, the Python, the libraries and the crawler itself, as text by key."""
    found = {
        "cpu": proc_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": f"{cores()} usable of {os.cpu_count()}",
        "placement": placement(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "build": " ".join(sys.version.split()),
        "gil": "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off",
        "switch interval": f"{sys.getswitchinterval() * 1000:g} ms",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "code": _digest_of_code(),
    }
    with suppress(ImportError, OSError, ValueError):
        import resource

        found["descriptors"] = str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def unlike(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """The differences of two environments, one line each, without the keys in `VARYING`."""
    keys = sorted((first.keys() | second.keys()) - VARYING)
    return [
        f"{key}: {first.get(key, 'not there')} became {second.get(key, 'not there')}"
        for key in keys
        if first.get(key) != second.get(key)
    ]


class OtherLoad(NamedTuple):
    """The load of other processes and of other machines. `foreign` and `steal` are shares of all cores, `average` is
    the load average of a minute."""

    foreign: float
    steal: float
    swapped: int
    throttled: int
    average: float = 0.0


class LoadMeter:
    """Measures the load of other processes since it was created."""

    def __init__(self) -> None:
        self._before = _counters()

    def others(self, ours: float) -> OtherLoad | None:
        """The load of other processes; `ours` is our own CPU meanwhile in seconds. None where there is no /proc."""
        before, after = self._before, _counters()
        if before is None or after is None:
            return None
        whole = max((after.at - before.at) * (os.cpu_count() or 1), 1e-9)
        return OtherLoad(
            foreign=max(0.0, after.busy - before.busy - ours) / whole,
            steal=(after.steal - before.steal) / whole,
            swapped=after.swapped - before.swapped,
            throttled=after.throttled - before.throttled,
            average=os.getloadavg()[0],
        )


class _Counters(NamedTuple):
    """Counters of the whole machine. Seconds of CPU over all cores; pages swapped; times throttled by a cgroup."""

    at: float
    busy: float
    steal: float
    swapped: int
    throttled: int


def _counters() -> _Counters | None:
    try:
        fields = [int(field) for field in proc_value("/proc/stat", "cpu ").split()[:8]]
        swapped = sum(int(line.split()[1]) for line in Path("/proc/vmstat").read_text().splitlines() if "pswp" in line)
    except (OSError, ValueError):
        return None
    tick, throttled = os.sysconf("SC_CLK_TCK"), int(proc_value("/sys/fs/cgroup/cpu.stat", "nr_throttled") or 0)
    user, nice, system, _, _, irq, softirq, steal = fields
    return _Counters(monotonic(), (user + nice + system + irq + softirq) / tick, steal / tick, swapped, throttled)


def cpu_of(pid: int) -> float:
    """CPU seconds of a running process, 0 where they are unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _digest_of_code() -> str:
    """A digest of the crawler under test; the comparison itself is not under test."""
    root, digest = Path(__file__).resolve().parents[2], hashlib.sha256()
    for folder in OUR_CODE:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if not name.startswith(NOT_UNDER_TEST):
                digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
