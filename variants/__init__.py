"""The engines. Each is a module with CLIENTS, CONCURRENCY and `run`; only the selected one is imported.

A mode is found by name. `CLIENTS` lists the HTTP clients that the engine can use, its default first; `CONCURRENCY` is
the default number of fetches in flight.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import msgspec

from crawler.core.reasons import Ending
from crawler.errors import UsageError
from crawler.runtime.job import Job, Run, cores
from crawler.runtime.memory_plan import MemoryPlan, plan_memory
from crawler.settings import Settings

MODULES = {
    "async": "variants.async_loop",
    "threads": "variants.threads",
    "processes": "variants.processes",
    "prefork": "variants.prefork",
}
ON_CLUSTER = {"ray": "variants.ray_cluster"}
"""The modes that need a package of their own, and are not among those that are compared."""
SHARDED = ("prefork", "ray")
"""The modes in which each process owns a shard of the crawl. In the others one process owns the whole crawl."""
FORKED = ("processes", "prefork", "ray")
"""The modes that fetch in worker processes."""
ON_LOOP = ("async", "prefork", "ray")
"""The modes that fetch on event loops, which the key `loop` chooses."""


class Variant(Protocol):
    """The interface of an engine module."""

    CLIENTS: tuple[str, ...]
    CONCURRENCY: int

    def run(self, job: Job) -> Ending:
        """Run a job to its ending. Raises StorageError, WorkersLost."""


class ShardedVariant(Protocol):
    """What a sharded engine asks for instead: its parent process has no Crawl, no recorder and no frontier."""

    def run(self, run: Run) -> Ending:
        """Run all shards to their ending. Raises StorageError, WorkersLost."""


def names() -> tuple[str, ...]:
    """The modes that run everywhere."""
    return tuple(MODULES)


def load(mode: str) -> Variant:
    """The engine of a mode. Raises UsageError where the mode is unknown."""
    module: Variant = _module(mode)
    return module


def load_sharded(mode: str) -> ShardedVariant:
    """The engine of a sharded mode. Raises UsageError where the mode is unknown."""
    module: ShardedVariant = _module(mode)
    return module


def _module(mode: str) -> Any:
    every = MODULES | ON_CLUSTER
    if mode not in every:
        from difflib import get_close_matches

        close = get_close_matches(mode, every, n=1, cutoff=0.3)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"unknown mode {mode!r}{hint} (there are: {', '.join(every)})")
    return import_module(every[mode])


def is_sharded(settings: Settings) -> bool:
    """Whether each process of the mode owns a shard."""
    return settings.mode in SHARDED


def shards_of(settings: Settings) -> int:
    """Number of shards of a run. Each needs at least one fetch in flight, so concurrency is the upper bound."""
    if not is_sharded(settings):
        return 1
    shards = (settings.shards if settings.mode in ON_CLUSTER else None) or settings.processes or cores()
    return shards if settings.concurrency is None else min(shards, settings.concurrency)


def fit(settings: Settings) -> tuple[Settings, MemoryPlan]:
    """The settings lowered until they fit `memory`, and the plan. Raises UsageError where the mode needs more."""
    variant, forked = load(settings.mode), settings.mode in FORKED
    wanted = settings.concurrency or variant.CONCURRENCY
    processes = 1
    if forked:
        processes = shards_of(settings) if is_sharded(settings) else settings.processes or cores()
        if settings.mode == "processes" and settings.threads_per_process:
            wanted = processes * settings.threads_per_process
    fixed = settings.processes is not None or settings.shards is not None
    plan = plan_memory(settings.mode, settings.memory, processes, wanted, fixed, forked)
    if plan.worker.lowered:
        threads = settings.threads_per_process and min(settings.threads_per_process, plan.worker.in_flight)
        processes_or_none = plan.processes if forked else settings.processes
        settings = msgspec.structs.replace(
            settings, concurrency=plan.in_flight, processes=processes_or_none, threads_per_process=threads
        )
    return settings, plan


def client_of(settings: Settings) -> str:
    """The HTTP client of a run. Raises UsageError where the mode or a proxy cannot be used with the configured one."""
    variant = load(settings.mode)
    if settings.has_proxies and settings.client not in (None, "native"):
        raise UsageError(f"only --client native fetches through a proxy, not {settings.client!r}")
    if settings.client is None:
        return "native" if settings.has_proxies else variant.CLIENTS[0]
    if settings.client not in variant.CLIENTS:
        usable = ", ".join(variant.CLIENTS)
        raise UsageError(f"--mode {settings.mode} cannot use the client {settings.client!r}; it can use: {usable}")
    return settings.client


def check_cluster(settings: Settings) -> None:
    """Raises UsageError, before a crawl begins, where the mode needs a cluster that cannot be used as configured."""
    if settings.mode in ON_CLUSTER:
        from variants import ray_session

        ray_session.check_cluster(settings)


def check_loop(mode: str, loop: str) -> None:
    """Raises UsageError where the mode is to run on an event loop that is not installed, before a crawl begins."""
    if mode in ON_LOOP and loop == "uvloop" and find_spec("uvloop") is None:
        raise UsageError("--loop uvloop needs the package uvloop: pip install uvloop, or use --loop asyncio")
