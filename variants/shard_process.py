"""A process of `prefork` as the arbiter sees it, and what the arbiter reads of its frontier before it starts."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic
from typing import Protocol

import msgspec
from msgspec.structs import replace

from crawler.core.messages import HostNote
from crawler.core.shards.coordinator import Verdict
from crawler.core.traps.domain_limits import HOME
from crawler.runtime.job import Run
from crawler.storage.database import retry_storage
from crawler.storage.frontier.answers import to_clock
from crawler.storage.opening import ShardReader, read_frontier
from variants import client_of
from variants.channel import ShardChannel, ShardExit
from variants.shard_worker import Channel, ShardSpec, serve
from variants.supervision import EXIT_PATIENCE
from variants.worker_process import kill, preloaded, spawn_errors, start_fork_server

PATIENCE = 60.0
"""Seconds that a shard may be silent while it reads its frontier."""


class RunningShard(Protocol):
    """A shard as the arbiter sees it. `exit` is its last message, None where there was none yet."""

    exit: ShardExit | None

    @property
    def channel(self) -> Channel:
        """The way to it."""

    @property
    def answer_due(self) -> float:
        """By when it must have sent something (seconds, monotonic clock)."""

    def on_message(self) -> None:
        """It is alive."""

    def has_raised(self) -> bool:
        """Whether it ended with an exception of Python; waits a moment for its end."""

    def kill(self) -> None:
        """Kill it, if it runs."""

    def end(self) -> None:
        """Kill it, if it runs, and wait for its end."""


class ShardProcess:
    """A running shard. `lease`: seconds it may be silent once it has sent its first message; it sends several a second.
    `exit` is its last message, None where there was none yet."""

    def __init__(self, process: ForkServerProcess, channel: ShardChannel, lease: float) -> None:
        self.process = process
        self.channel = channel
        self.exit: ShardExit | None = None
        self.answer_due = monotonic() + max(PATIENCE, lease)
        self._lease = lease

    def on_message(self) -> None:
        """It is alive."""
        self.answer_due = monotonic() + self._lease

    def has_raised(self) -> bool:
        """Whether it ended with an exception of Python; waits a moment for its end."""
        self.process.join(EXIT_PATIENCE)
        return self.process.exitcode == 1

    def kill(self) -> None:
        """Kill it, if it runs."""
        kill(self.process)

    def end(self) -> None:
        """Kill it, if it runs, and wait for its end."""
        self.kill()
        self.process.join()


def prepare_start() -> None:
    """Start the fork server. Raises OSError."""
    get_context("forkserver").set_forkserver_preload(preloaded())
    start_fork_server()


def spec_of(run: Run, shard: int, in_flight: Sequence[int], incarnation: int, verdicts: Sequence[Verdict]) -> ShardSpec:
    """The parameters of a shard. `in_flight`: the fetches that each shard may have in flight."""
    share, settings = in_flight[shard], run.settings
    return ShardSpec(
        settings=replace(
            settings, concurrency=share, client=client_of(settings), arrivals=settings.arrivals / len(in_flight)
        ),
        folder=str(run.folder),
        seed=run.seed,
        run=run.number,
        index=shard,
        count=len(in_flight),
        incarnation=incarnation,
        verdicts=tuple(verdicts),
        to_unix=run.to_unix,
        shares=replace(run.worker_shares, in_flight=share),
        url_log=run.url_log,
    )


def start_shard(spec: ShardSpec, theirs: socket.socket) -> ForkServerProcess:
    """Start a process that serves a shard, with the other end of its channel. Raises WorkersLost."""
    process = get_context("forkserver").Process(
        target=serve, args=(msgspec.json.encode(spec), theirs), name=f"shard-{spec.index}", daemon=True
    )
    with spawn_errors():
        process.start()
    return process


def requested_pages(run: Run, shard: int) -> int:
    """The pages that a shard has requested so far, in all runs; 0 without `max_pages`, which alone asks for it."""
    if run.settings.max_pages is None:
        return 0
    return retry_storage(lambda: _requested_of(run, shard), run.settings.disk_wait)


def _requested_of(run: Run, shard: int) -> int:
    with closing(_frontier(run, shard)) as frontier:
        return _requested(frontier)


def read_shards(run: Run, shards: int) -> tuple[list[int], tuple[HostNote, ...], dict[str, int]]:
    """Before a run: `requested_pages` of each shard, what all must know of hosts because one has found it out, and the
    pages of each domain that were asked for. Opens each frontier once."""
    return retry_storage(lambda: _read_shards(run, shards), run.settings.disk_wait)


def _read_shards(run: Run, shards: int) -> tuple[list[int], tuple[HostNote, ...], dict[str, int]]:
    requested, notes, domains = list[int](), list[HostNote](), dict[str, int]()
    for shard in range(shards):
        with closing(_frontier(run, shard)) as frontier:
            requested.append(0 if run.settings.max_pages is None else _requested(frontier))
            notes += [note for note in frontier.notes() if note.reach or note.joined]
            for budget in frontier.budgets(HOME):
                domains[budget.stopped] = max(budget.pages, domains.get(budget.stopped, 0))
    return requested, tuple(to_clock(note, -run.to_unix) for note in notes), domains


def _frontier(run: Run, shard: int) -> ShardReader:
    return read_frontier(run.settings, Path(str(run.folder)), run.seed, shard)


def _requested(frontier: ShardReader) -> int:
    return frontier.tally().urls + frontier.left().retries
