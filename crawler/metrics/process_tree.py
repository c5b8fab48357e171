"""CPU seconds and memory of the whole process tree of a run, read from /proc.

PSS divides each page of memory among the processes that map it, so its sum over the tree is what the tree takes; RSS
would count shared pages once per process. The CPU time of an ended process is added to the process that reaps it (the
crawler, or the fork server), so each sample includes ended processes and each process counts once. The CPU time that a
killed fork server had reaped is known from the sample before. Where there is no /proc the figures cover this process
and the children it has reaped.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import clock_gettime, monotonic

from crawler.system.memory_shortage import wait_for
from crawler.system.threads import start_thread

PERIOD = 1.0
LOOK_PERIOD = 0.1
GROWN = 1.03
"""Growth factor since the last sample that triggers a new one."""
PROC = Path("/proc")


class Meter:
    """Samples this process and all below it on a thread; `cpu_seconds` count from its start, `peak_memory` in bytes.
    `on_sample` is called with the bytes of each sample.

    There is a sample each PERIOD seconds. Each LOOK_PERIOD it checks whether a process has grown or started, and then
    samples too: a heavy page is parsed within tenths of a second, in a process of its own.
    """

    def __init__(self, on_sample: Callable[[int], None] = lambda memory: None) -> None:
        self.peak_memory = 0
        self._on_sample = on_sample
        self._own_before = self._used = _tree()[0]  # CPU time before this meter does not count
        self._unreaped = 0.0  # CPU seconds of ended processes that no process of ours reaped
        self._memory = 0
        self._told = 0.0
        self._sizes: dict[int, int] = {}  # resident bytes of each process at the last sample
        self._ended = threading.Event()
        self._thread = start_thread(self._work, "meter")

    @property
    def cpu_seconds(self) -> float:
        """User and system time of this process and all below it, ended ones included, at the last sample."""
        return self._used - self._own_before

    def stop(self) -> None:
        """Take a last sample and end the thread."""
        if not self._ended.is_set():
            self._ended.set()
            self._thread.join()

    def sample(self) -> None:
        """Sample the tree now."""
        if not (PROC / "self/smaps_rollup").exists():  # only the peak of this process is known here
            self.peak_memory = max(self.peak_memory, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
            self._used = _own_cpu()
            return
        used, living = _tree()
        self._unreaped += max(0.0, self._used - used - self._unreaped)
        self._used = used + self._unreaped
        self._take([os.getpid(), *living])

    def look(self) -> None:
        """Check the resident sizes, which is cheap, and sample the PSS where they have grown."""
        pids = [pid for known in list(self._sizes) for pid in (known, *_children(known)) if known]
        growth = 0
        for pid in dict.fromkeys(pids):
            growth += resident_memory(pid) - self._sizes.get(pid, 0)
        if self._memory + growth > max(self.peak_memory, self._told):
            self._take(list(dict.fromkeys(pids)))

    def _take(self, pids: list[int]) -> None:
        self._memory = sum(map(_pss, pids))
        self._sizes = {pid: resident_memory(pid) for pid in pids}
        self.peak_memory = max(self.peak_memory, self._memory)
        self._told = self._memory * GROWN
        self._on_sample(self._memory)

    def _work(self) -> None:
        self._try(self.sample)
        sample_at = monotonic() + PERIOD
        while not wait_for(self._ended, min(PERIOD, LOOK_PERIOD)):
            if monotonic() < sample_at:
                self._try(self.look)
            else:
                self._try(self.sample)
                sample_at = monotonic() + PERIOD
        self._try(self.sample)

    def _try(self, action: Callable[[], None]) -> None:
        with suppress(OSError, MemoryError):  # out of descriptors: a figure is lost, not the crawl
            action()


def _own_cpu() -> float:
    """CPU seconds of this process and the children it has reaped."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _tree() -> tuple[float, list[int]]:
    """CPU seconds of this process and all below it, and the ids of the running ones. Repeated until no child was reaped
    meanwhile: it would count twice, or not at all."""
    while True:
        reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
        living = descendants(os.getpid())
        used = _own_cpu() + sum(living.values())
        if resource.getrusage(resource.RUSAGE_CHILDREN) == reaped:
            return used, [*living]


def descendants(root: int) -> dict[int, float]:
    """The running processes below `root`, with the CPU seconds of each and of the children it has reaped."""
    ticks = os.sysconf("SC_CLK_TCK")
    parents: dict[int, int] = {}
    cpu: dict[int, float] = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name of a process may contain anything, so fields are counted from the last parenthesis.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(entry.name)
        parents[pid] = int(fields[1])
        cpu[pid] = sum(map(int, fields[11:15])) / ticks
    found: dict[int, float] = {}
    for pid in parents:
        above = pid
        while above in parents and above != root:
            above = parents[above]
        if above == root and pid != root:
            found[pid] = cpu[pid]
    return found


def tree_memory() -> int:
    """Bytes (PSS) that this process and all below it take now; 0 where there is no /proc."""
    return sum(map(_pss, (os.getpid(), *descendants(os.getpid())))) if PROC.exists() else 0


def resident_memory(pid: int | None = None) -> int:
    """Resident bytes of a process (None: this one); 0 where that cannot be read."""
    try:
        return int((PROC / str(pid or "self") / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _children(pid: int) -> list[int]:
    """The ids of the children of a process; none where the kernel does not list them."""
    found: list[int] = []
    with suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def process_started_at() -> float:
    """When this process was started, on the monotonic clock (seconds); now, where that cannot be read."""
    try:
        fields = (PROC / "self/stat").read_text().rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return monotonic() - (clock_gettime(7) - since_boot)  # 7: CLOCK_BOOTTIME
    except (OSError, IndexError, ValueError):
        return monotonic()


def _pss(pid: int) -> int:
    try:
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
