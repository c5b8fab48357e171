"""Long crawls with a fault every few seconds, and their resource use over time.

Each mode gets its share of the time. It crawls one demo web after another; nothing is restarted except by the crawler
itself. Faults: a worker or shard is killed; one is stopped for good; the whole crawler or the server is stopped for a
moment; the disk is full for a moment (a tmpfs, needs root). When the time is over the crawler is asked to stop. Memory,
descriptors and threads of the process tree are sampled; the last third of a crawl is compared with the third before it
to see whether they grow.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from crawler.testweb.settings import to_toml
from tests.faults.crawlers import Crawler, living
from tests.faults.invariants import Truth
from tests.faults.trial import ATTEMPTS, IN_FLIGHT

HOSTS = 40
PAGES_A_MINUTE = 4000
A_MOMENT = 1.5  # less than any deadline of the demo profile
PLENTY = 2 << 30
STOPPED, LATE = 128 + signal.SIGTERM, -signal.SIGTERM
"""Exit codes after a SIGTERM; the second where it came once the summary was printed."""
FLAT = 1.10
FEW = 60  # too few samples to tell growth
PERIOD = 1.0


class Sample(NamedTuple):
    """Resources of a process tree: resident bytes, descriptors, threads."""

    memory: int
    descriptors: int
    threads: int


class Soak:
    """One mode for so many seconds."""

    def __init__(self, mode: str, seconds: float, every: float, seed: int) -> None:
        self.landed: Counter[str] = Counter()
        self.crawls = self.repeated = 0
        self.grown: list[tuple[float, ...]] = []
        self.samples = 0
        self._mode = mode
        self._seconds = seconds
        self._end_at = 0.0
        self._every = every
        self._dice = random.Random(seed)
        self._truth = Truth(HOSTS, max(500, int(PAGES_A_MINUTE * seconds / 60)), ATTEMPTS, seed)

    def run(self) -> None:
        """Crawl until the time is over. Raises AssertionError if an invariant is violated."""
        self._end_at = monotonic() + self._seconds
        while monotonic() < self._end_at:
            with tempfile.TemporaryDirectory(prefix="soak-") as name, disk(Path(name, "out")) as full:
                self._crawl(Path(name), full)
            self.crawls += 1

    def _crawl(self, folder: Path, full: Callable[[float], None] | None) -> None:
        struck: list[float] = []
        samples: list[Sample] = []
        with self._truth.serve(folder) as web:
            (folder / "web.toml").write_text(f"attempts = {ATTEMPTS}\ndisk_wait = 60\n{to_toml(web.settings)}")
            crawler = Crawler(folder, self._mode, IN_FLIGHT)
            strike_at = monotonic() + self._every
            while not crawler.ended() and monotonic() < self._end_at:
                sleep(PERIOD)
                samples.append(weigh(crawler))
                if monotonic() >= strike_at:
                    struck += self._strike(crawler, web.process.pid, full)
                    strike_at = monotonic() + self._every
            while not (crawler.ended() or (folder / "out" / "crawl.json").exists()):
                sleep(0.02)  # before that it has no signal handlers, and SIGTERM would kill it
            if not crawler.ended():
                os.kill(crawler.process.pid, signal.SIGTERM)
            ended = crawler.end()
            struck.append(monotonic())
            assert ended.code in (0, STOPPED, LATE) and ended.summary is not None, ended
            if ended.code in (0, LATE):
                toll = self._truth.check(folder, web, ended.summary, struck, IN_FLIGHT)
            else:
                toll = self._truth.check_so_far(folder, web, ended.summary, struck, IN_FLIGHT)
        self.repeated += toll.repeated
        self.samples += len(samples)
        if len(samples) >= FEW:
            self.grown.append(growth(samples))

    def _strike(self, crawler: Crawler, server: int, full: Callable[[float], None] | None) -> Sequence[float]:
        """Inject a fault; returns the times at which a process lost its fetches in flight."""
        kinds = ["all stand still", "server stands still", *(["disk full"] if full else ())]
        kinds += ["worker", "worker", "stop"] if crawler.workers() else []
        kind = self._dice.choice(kinds)
        self.landed[kind] += 1
        if kind == "disk full" and full:
            full(A_MOMENT)
        elif kind == "server stands still":
            with suppress(ProcessLookupError):
                os.kill(server, signal.SIGSTOP)
                sleep(A_MOMENT)
                os.kill(server, signal.SIGCONT)
        elif kind == "all stand still":
            os.killpg(crawler.process.pid, signal.SIGSTOP)
            sleep(A_MOMENT)
            os.killpg(crawler.process.pid, signal.SIGCONT)
        elif (hit_at := crawler.strike(kind)) is not None:
            return [hit_at]
        return []

    def lines(self) -> Iterator[str]:
        """The result as lines of text."""
        landed = ", ".join(f"{kind} {count}" for kind, count in sorted(self.landed.items()))
        yield f"{self._mode}: {self.crawls} crawls kept all promises; {landed}; {self.repeated} fetched again"
        for memory, descriptors, threads in self.grown:
            yield (
                f"  last third by the third before: memory {memory:.3f}, descriptors {descriptors:.3f}, "
                f"threads {threads:.3f} ({self.samples} samples)"
            )

    @property
    def flat(self) -> bool:
        """Whether no figure grew."""
        return all(share <= FLAT for shares in self.grown for share in shares)


def weigh(crawler: Crawler) -> Sample:
    """The sums over the session of a crawler."""
    memory = descriptors = threads = 0
    for pid, _, session in living():
        if session != crawler.process.pid:
            continue
        folder = Path("/proc", str(pid))
        with suppress(OSError, StopIteration):
            memory += int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            descriptors += len([*(folder / "fd").iterdir()])
            threads += len([*(folder / "task").iterdir()])
    return Sample(memory, descriptors, threads)


def growth(samples: Sequence[Sample]) -> tuple[float, ...]:
    """The ratio of the medians of the last third and the third before it, for each figure."""
    third = len(samples) // 3
    before, last = samples[-2 * third : -third], samples[-third:]
    pairs = zip(zip(*before, strict=True), zip(*last, strict=True), strict=True)
    return tuple(statistics.median(after) / max(1.0, statistics.median(first)) for first, after in pairs)


@contextmanager
def disk(place: Path) -> Iterator[Callable[[float], None] | None]:
    """Mounts a file system at `place` and yields a function that fills it for so many seconds; None if none can be
    mounted."""
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={PLENTY}", "tmpfs", place], capture_output=True
        ).returncode
    )
    if not mounted:
        yield None
        return

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True, capture_output=True)

    def full(seconds: float) -> None:
        with suppress(subprocess.CalledProcessError):  # its use grew meanwhile: skipped this time
            resize(shutil.disk_usage(place).used + os.sysconf("SC_PAGE_SIZE"))
        sleep(seconds)
        resize(PLENTY)

    try:
        yield full
    finally:
        subprocess.run(["umount", "-l", place], check=True)
