"""How much memory a crawl may take (`max_memory`), what each mode needs, and how it is divided.

Rules:
- NEEDS is what a mode takes before it holds any data, measured (`python -m tests.memory`). A limit below `least` is
  refused before the crawl begins, in one line that names a sufficient one.
- The memory beyond the needs is free. It is divided: DATA for queues, hosts and marks of URLs (what exceeds these
  bounds waits on disk, see crawler/core/bounds.py), BODIES for bodies in flight and not yet written, ALONE for a single
  body while all others wait, and `page_memory` for the parser of a heavy page, which does not depend on the mode unless
  a tight limit is divided among many processes.
- Where many processes fetch, each gets an equal part. Their number, unless it is configured, and the number of fetches
  in flight are lowered to fit; that is reported in one line and counted as a pause for `memory`.
- The default is SHARE of what this machine has, or the container (cgroup v1 or v2); where that is less than COMFORTABLE
  times what the mode needs, up to MOST of it. A container's limit holds also where a larger one was asked for.
- The rest cannot be planned (fragmentation, libraries), so the process tree is sampled: see
  crawler/runtime/memory_limit.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from crawler.core.bounds import Bounds
from crawler.errors import UsageError
from crawler.system.memory import MIB, container_memory, machine_memory

SHARE = 0.5
COMFORTABLE = 2
"""With this multiple of its least a mode crawls at about half its speed or more (`python -m tests.memory`)."""
MOST = 0.9


class Need(NamedTuple):
    """Bytes that a mode always takes: `once`, and `each` for every process that fetches; `why` explains them."""

    once: int
    each: int
    why: str


NEEDS = {
    "async": Need(0, 80 * MIB, "one process: interpreter, event loop, aiohttp, SQLite with its caches"),
    "threads": Need(0, 98 * MIB, "one process: interpreter, libcurl, the stack and the buffers of each thread"),
    "processes": Need(58 * MIB, 50 * MIB, "the parent, which decides, and the fork server; each worker: its threads"),
    "prefork": Need(54 * MIB, 52 * MIB, "the arbiter and the fork server; each shard: an `async` that shares its code"),
    "ray": Need(500 * MIB, 110 * MIB, "the driver, the processes of Ray and its object store; each shard: an actor"),
}
READER = 40 * MIB
"""Bytes of a sandbox process (crawler/pipeline/sandbox), of which each process that fetches may have one."""
FREE = 32 * MIB
"""Bytes that each process that fetches needs in addition: for one body of some size, twice in memory, and for data."""
DATA, BODIES, ALONE = 0.2, 0.2, 0.6
FEWEST = 8 * MIB
EACH_FLIGHT = 128 * 1024
"""Bytes that a fetch in flight takes: buffers, the connection, a usual page."""


class Shares(msgspec.Struct, frozen=True):
    """What one process that fetches may take, in bytes; `limit` is the total, including its sandbox process.

    `page`: what the parser of one heavy page may take in addition to its body. `in_flight`: how many fetches it would
    have at once. `lowered`: fewer processes or fetches than were asked for, for lack of memory.
    """

    limit: int
    data: int
    free: int
    in_flight: int
    page: int
    lowered: bool = False

    @property
    def bounds(self) -> Bounds:
        """How many hosts, links and marks may be in memory at once.

        Measured: a host costs up to 4 KB with its robots.txt, a link in a queue 400 bytes, a mark 10 bytes.
        """
        return Bounds(hosts=self.data // 4 // 4096, links=self.data // 4 // 400, marks=self.data // 2 // 10)

    @property
    def bodies(self) -> int:
        """The most bytes of all bodies in flight."""
        return int(self.free * BODIES)

    @property
    def alone(self) -> int:
        """The most bytes of a single body, while all others wait."""
        return int(self.free * ALONE)


ROOMY = Shares(limit=1 << 50, data=8 << 30, free=8 << 30, in_flight=1 << 20, page=4 << 30)
"""For a program that drives an engine by itself and sets no limit."""


class MemoryPlan(NamedTuple):
    """How a crawl fits into its limit (bytes). `own` is the share of the process that decides, `worker` that of each
    process that fetches. `note`: what is less than was asked for, "" where all of it fits."""

    limit: int
    processes: int
    in_flight: int
    own: Shares
    worker: Shares
    note: str


def page_memory(limit: int) -> int:
    """Bytes that the parser of one heavy page may take in a crawl that may take `limit` bytes, in any mode."""
    return max(FREE, (limit - 300 * MIB) * 9 // 20)  # never more than each of two processes has free


def least(mode: str, processes: int = 1) -> int:
    """The bytes that a mode needs with this number of processes that fetch."""
    need = NEEDS[mode]
    return need.once + processes * (need.each + READER + FREE)


def plan_memory(mode: str, asked: int | None, processes: int, in_flight: int, fixed: bool, forked: bool) -> MemoryPlan:
    """Fit a crawl into `asked` bytes (None: the default). `processes` that fetch and fetches `in_flight` are the wanted
    numbers; `fixed`: the number of processes is configured; `forked`: they are not this process. Raises UsageError
    where the mode needs more."""
    container, wanted = container_memory(), processes
    limit = _limit(mode, asked, processes, container)
    while not fixed and processes > 1 and limit < least(mode, processes):
        processes -= 1
    if limit < least(mode, processes):
        raise UsageError(_too_little(mode, asked, processes, fixed, limit))
    need = NEEDS[mode]
    free = limit - need.once - processes * (need.each + READER)
    each = free // processes
    fits = max(processes, int(free * BODIES) // EACH_FLIGHT)
    most = min(fits, in_flight)
    note = ""
    if processes < wanted:
        note = f"{processes} processes instead of {wanted}"
    if fits < in_flight:
        note += f"{' and ' if note else ''}{fits} fetches at once instead of {in_flight}"
    if note:
        note += f": no more fit into {_size(limit)} of memory"
    worker = Shares(
        limit=need.each + READER + each if forked else limit,
        data=int(each * DATA),
        free=each,
        in_flight=-(-most // processes),
        page=max(FEWEST, min(each, page_memory(limit))),
        lowered=bool(note),
    )
    data = int(free * DATA) if mode == "processes" else worker.data  # the parent decides, the workers only fetch
    own = msgspec.structs.replace(worker, limit=limit, data=data, in_flight=most)
    return MemoryPlan(limit, processes, most, own, worker, note)


def _limit(mode: str, asked: int | None, processes: int, container: int) -> int:
    there = min(machine_memory(), container)
    if asked is not None:
        return asked if asked <= container else int(MOST * container)
    return min(int(MOST * there), max(int(SHARE * there), COMFORTABLE * least(mode, processes)))


def _too_little(mode: str, asked: int | None, processes: int, fixed: bool, limit: int) -> str:
    needed = least(mode, processes)
    told = asked == limit
    share = 1.0 if told else MOST
    what = f"--max-memory {_size(asked)}" if told else f"a container (or machine) of {_size(limit / share)}"
    who = mode if mode in ("async", "threads") else f"{mode} with {processes} process{'' if processes == 1 else 'es'}"
    fewer = f"; --processes 1 needs {_size(least(mode) / share)}" if fixed and processes > 1 else ""
    smallest = min(NEEDS, key=lambda name: least(name))
    other = f"; --mode {smallest} needs {_size(least(smallest) / share)}" if mode != smallest else ""
    return f"{what} is less than {who} needs ({_size(needed / share)}); give it that or more{fewer}{other}"


def _size(size: float | None) -> str:
    return f"{math.ceil((size or 0) / MIB)}M"
