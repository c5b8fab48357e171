"""Runs one command and reports the cost of its process tree: `python -m crawler.compare.launch OUT ERR COMMAND...`

Rules, and why:
- This process adopts orphans (PR_SET_CHILD_SUBREAPER) and waits for every one of them. So CPU and context switches are
  the kernel's own totals (wait4), not samples, and include fork servers and their workers, even short-lived ones. Linux
  only; elsewhere orphans are missing.
- Memory, threads and descriptors are peaks and must be sampled, twice a second: reading a PSS takes the lock of the
  memory map, so sampling more often would disturb the measurement.
- It is a separate process, because its wait would reap the children of any other code. It ends with its parent, and the
  command ends with it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic

import msgspec

from crawler.metrics.process_tree import descendants
from crawler.system.parent_death import die_with_parent

PERIOD = 0.5
PR_SET_CHILD_SUBREAPER = 36


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of a command. Times are on the monotonic clock of the machine; `memory` is the peak of the summed PSS in
    bytes; `processes`, `threads` and `descriptors` are peaks, too. `own_cpu` is the CPU of this process itself, in
    seconds; it is not part of `cpu`."""

    exit_code: int
    started_at: float
    ended_at: float
    cpu: float
    switches: int
    memory: int
    processes: int
    threads: int
    descriptors: int
    own_cpu: float


class Peaks:
    """The largest sampled sums over the process tree below this process."""

    def __init__(self) -> None:
        self.memory = self.processes = self.threads = self.descriptors = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="peaks", daemon=True)

    def start(self) -> None:
        """Sample twice a second, on a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(PERIOD):
            seen = [_look(pid) for pid in descendants(os.getpid())]
            memory, threads, descriptors = (sum(column) for column in zip((0, 0, 0), *seen, strict=True))
            self.memory = max(self.memory, memory)
            self.processes = max(self.processes, len(seen))
            self.threads = max(self.threads, threads)
            self.descriptors = max(self.descriptors, descriptors)


def _look(pid: int) -> tuple[int, int, int]:
    """PSS in bytes, threads, descriptors of one process; zeros where it has ended."""
    try:
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    except OSError:
        return 0, 0, 0
    pss, threads = proc_value(f"/proc/{pid}/smaps_rollup", "Pss:"), proc_value(f"/proc/{pid}/status", "Threads:")
    return int(pss.removesuffix(" kB") or 0) * 1024, int(threads or 0), descriptors


def proc_value(path: str, name: str) -> str:
    """The value after a name in a file of /proc or /sys; "" where there is none."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.removeprefix(name).lstrip(" \t:") for line in lines if line.startswith(name)), "")


def launch(command: list[str], out: Path, err: Path) -> Cost:
    """Run a command and wait for it and its orphans. Raises OSError where it cannot be started."""
    with suppress(OSError, AttributeError):  # no prctl: not Linux
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    peaks, cpu, switches = Peaks(), 0.0, 0
    with out.open("wb") as stdout, err.open("wb") as stderr:
        started_at = ended_at = monotonic()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, preexec_fn=die_with_parent
        )
    peaks.start()
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu += usage.ru_utime + usage.ru_stime
        switches += usage.ru_nvcsw + usage.ru_nivcsw
        if pid == child.pid:
            ended_at, child.returncode = monotonic(), os.waitstatus_to_exitcode(status)
    peaks.stop()
    own = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(
        exit_code=child.returncode,
        started_at=started_at,
        ended_at=ended_at,
        cpu=cpu,
        switches=switches,
        memory=peaks.memory,
        processes=peaks.processes,
        threads=peaks.threads,
        descriptors=peaks.descriptors,
        own_cpu=own.ru_utime + own.ru_stime,
    )


if __name__ == "__main__":
    die_with_parent()
    sys.stdout.buffer.write(msgspec.json.encode(launch(sys.argv[3:], Path(sys.argv[1]), Path(sys.argv[2]))))
