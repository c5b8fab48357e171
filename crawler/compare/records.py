"""The records of a comparison on disk: one `session.json`, one line of `trials.jsonl` per trial.

Vocabulary. An *arm* is an engine with its client, its event loop and its interpreter under a name ("async", "async on
asyncio", "threads+urllib3", "threads on 3.13.0", "async again": the A/A arm). A *condition* is a point in the space of
factors. A *cell* is an arm in a condition on a workload. A *trial* is one run of a cell in fresh processes, the unit of
replication. A *block* is one pass over all arms of a condition in seeded random order. Invalid trials are kept and
shown, never silently repeated.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SAME, IDIOMATIC, BOTH = "same", "idiomatic", "all"
"""The tracks: one client for all engines, the usual clients of each, or both."""


class Arm(msgspec.Struct, frozen=True):
    """An engine in a comparison. `twin_of` names the arm that an A/A arm repeats, "" for the others.

    `loop` is "" for a mode without an event loop. `python` is the path of its interpreter, "" for the one that runs the
    comparison, and `version` which one that is. `sweeps` are those in which it takes part, all if there are none; of
    `sweeps` it has only the first `blocks`.
    """

    name: str
    mode: str
    client: str
    twin_of: str = ""
    loop: str = ""
    python: str = ""
    version: str = ""
    sweeps: tuple[str, ...] = ()
    blocks: int = 0

    @property
    def stack(self) -> str:
        """What runs the engine: its client, on its loop and its interpreter where that is not the usual one."""
        below = " ".join(filter(None, [self.loop, self.version if self.python else ""]))
        return " on ".join(filter(None, [self.client, below]))

    def takes_part(self, condition: Condition, block: int = 0) -> bool:
        """Whether it has a trial in a block of a condition."""
        return not self.sweeps or (condition.sweep in self.sweeps and block <= self.blocks)


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the factors, in seconds, bytes, milliseconds of CPU per page and shares of errors.

    `sweep` names the question it belongs to: "headline", "concurrency", "latency", "payload", "cpu", "workers",
    "errors", "job size", "spread", "graph", "politeness" or "open loop". `spread` is the sigma of the pages' latencies,
    which are lognormal around `latency`; at 0 they are all alike. With `tls` the web is https. With `arrivals` fetches
    start by a schedule, at this share of the least peak (crawler.compare.open_loop).
    """

    sweep: str
    workload: str = "flat"
    pages: int = 1000
    concurrency: int = 64
    latency: float = 0.05
    spread: float = 0.5
    payload: int = 16_384
    cpu_ms: float = 0.0
    errors: float = 0.0
    hosts: int = 1
    delay: float = 0.0
    workers: int = 0
    tls: bool = False
    arrivals: float = 0.0


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A real site to compare on: what the user `named`, the resulting URLs, the profile, whether the user's
    configuration is stored with the session."""

    named: str
    urls: tuple[str, ...]
    profile: str
    configured: bool


CORRECTNESS = ("G1", "G2", "G3", "G4", "G6", "G7", "G10", "G11")


class Gate(msgspec.Struct, frozen=True):
    """One check of a trial. `detail` is what was found, in numbers.

    G1 oracle digest, G2 store audit, G3 referee, G4 order, G5 concurrency, G6 politeness, G7 deterministic failures, G8
    server headroom, G9 clean host, G10 not faster than possible, G11 durability, G12 steadiness (it only warns).
    """

    name: str
    passed: bool
    detail: str = ""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `metrics` by name, see METRICS; empty where the run crashed. `order` counts the trials of a session.
    On a live site `ends` is a digest of every URL with its reason and status, `digest` covers the bodies, too. `raw` is
    the SHA-256 of its raw log, "" where it left none.
    """

    block: int
    order: int
    arm: str
    condition: Condition
    started_at: float
    seconds: float
    warm_up: bool
    gates: tuple[Gate, ...]
    metrics: dict[str, float]
    ends: str = ""
    digest: str = ""
    raw: str = ""

    @property
    def valid(self) -> bool:
        """Whether it counts: all gates passed, no warm-up."""
        return not self.warm_up and bool(self.metrics) and not self.failed

    @property
    def failed(self) -> list[str]:
        """Why it is void, one line per failed gate."""
        return [f"{gate.name} {gate.detail}" for gate in self.gates if not gate.passed]

    @property
    def wrong(self) -> bool:
        """Whether it failed a gate of correctness, which is a fault of the crawler, not of the machine."""
        return any(gate.name in CORRECTNESS and not gate.passed for gate in self.gates)


class Prediction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is expected of the pages/s of arm `a` against arm `b`: a word, or that the ratio lies `between` two; in the
    conditions of a `sweep` that have the factors in `where`."""

    a: str
    b: str
    expect: Literal["faster", "slower", "equivalent"] | None = None
    between: tuple[float, float] | None = None
    sweep: str = "headline"
    where: dict[str, float] = {}


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The plan and the environment: enough to run it again, and to refuse to resume it in another environment.
    `preregistration`: the SHA-256 of what was fixed before the first trial."""

    format: int
    preset: str
    seed: int
    created_at: float
    command: str
    arms: tuple[Arm, ...]
    conditions: tuple[Condition, ...]
    blocks: dict[str, int]
    environment: dict[str, str]
    site: Site | None = None
    predictions: tuple[Prediction, ...] = ()
    preregistration: str = ""


METRICS = {
    "steady_rate": "pages/s stored in the steady window, by the store's commits",
    "crawl_rate": "pages/s stored, from the first request to the last commit",
    "possible_rate": "pages/s that the slots allow in the steady window, given the web's own times for its pages",
    "answer_rate": "answers/s in the steady window, by the server's clock",
    "least_rate": "pages/s that no crawl of this web can exceed: answer times, chains of links, rests",
    "drift": "second half of the steady window against the first, in shares of the possible pages/s, less 1",
    "cold_rate": "pages/s from process start to exit",
    "cpu_per_1000": "CPU seconds per 1,000 pages, whole process tree, without start_cpu",
    "memory": "peak sum of PSS in bytes",
    "switches_per_page": "context switches per page, whole process tree, without start_switches",
    "start_cpu": "CPU seconds of a crawl of two pages, measured once for each arm and number of slots",
    "start_switches": "context switches of the same",
    "commits": "commits of the crawl",
    "largest_commit": "pages of the largest commit",
    "longest_uncommitted": "longest time from one commit to the next, in seconds",
    "unsynced": "bytes of the crawl's databases that the kernel had not yet written to disk when it ended",
    "processes": "most processes alive at once",
    "threads": "most threads alive at once",
    "descriptors": "most open descriptors at once",
    "startup": "seconds from process start to the first request",
    "overhead_p50": "ms from the start of a fetch to its first byte, less what the server took; median",
    "overhead_p99": "the same, 99th percentile (from 1,000 pages in the steady window on)",
    "first_byte_p50": "ms from the start of a fetch to its first byte, median (live sites: their own time is in it)",
    "offered_rate": "fetches/s that were to start (open loop)",
    "response_p50": "ms from the intended start of a fetch until its response was read; median (open loop)",
    "response_p99": "the same, 99th percentile (from 1,000 pages in the window on)",
    "heartbeat_p50": "ms that our code got to run late, beats of all workers; median",
    "heartbeat_p99": "the same, 99th percentile (from 100 beats on)",
    "in_flight": "mean requests in flight in the steady window (server's count)",
    "server_rate": "pages/s the server can give without latency, measured once for each size of a page",
    "raw_rate": "pages/s of the raw client loop under the same condition, in the same block",
}
