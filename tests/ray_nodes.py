"""A Ray cluster of several nodes on this machine for tests: a head and workers on loopback, with a token of its own.

A node is a raylet and the processes below it. Each of them can be killed, and a node be added or removed while a crawl
runs. The head runs no shards: the driver of a crawl connects to it, and a cluster does not outlive its head.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.faults.crawlers import living
from variants.ray_session import ALWAYS, LOOPBACK
from variants.ray_watcher import belongs, processes_of

SHARD = b"ray::ShardActor"
CPUS = 2
DEATHS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "5",
}
"""When the head takes a node for dead: one that is killed after 5 s, one that is stopped after 30 s."""
OBJECTS = 80_000_000
PATIENCE = 60.0
ATTEMPTS = 3


def descendants(pid: int) -> set[int]:
    """The living processes below one, and itself."""
    found, more = set[int](), {pid}
    table = [(child, parent) for child, parent, _ in living()]
    while more:
        found |= more
        more = {child for child, parent in table if parent in more} - found
    return found


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes, where they live."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def is_shard(pid: int) -> bool:
    """Whether a process is that of a shard."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(SHARD)
    return False


class RayNodes:
    """A head and `workers` other nodes. The environment of this process has the token of the cluster."""

    def __init__(self, workers: int) -> None:
        os.environ.update({**LOOPBACK, **ALWAYS, **DEATHS, "RAY_AUTH_TOKEN": secrets.token_hex(32)})
        from ray.cluster_utils import Cluster

        self._folder = tempfile.mkdtemp(prefix="crawler-nodes-", dir="/tmp")  # short: paths of sockets have 107 bytes
        (Path(self._folder) / "ray").mkdir()
        self._cluster: Any = Cluster()
        self._add(num_cpus=0, include_dashboard=False)
        self.nodes = [self.add() for _ in range(workers)]

    @property
    def address(self) -> str:
        """Its address, for `--ray-address`."""
        return str(self._cluster.address)

    def _add(self, **options: Any) -> Any:
        os.environ["RAY_TMPDIR"] = self._folder  # marks all processes of the cluster, and nothing else
        try:
            return self._cluster.add_node(node_ip_address="127.0.0.1", object_store_memory=OBJECTS, **options)
        finally:
            del os.environ["RAY_TMPDIR"]

    def add(self) -> Any:
        """Add a node; returns when it is there. Ray gives one 30 s to start, which a loaded machine may exceed."""
        for _ in range(ATTEMPTS - 1):
            with suppress(Exception):  # Ray has no class of its own for this
                return self._add(num_cpus=CPUS)
        return self._add(num_cpus=CPUS)

    def grow(self) -> None:
        """Add a node."""
        self.nodes.append(self.add())

    def raylet(self, node: Any) -> int:
        """The id of the process that is the node; the others are below it."""
        (info,) = node.all_processes["raylet"]
        return int(info.process.pid)

    def processes(self, node: Any) -> set[int]:
        """The processes of a node."""
        return descendants(self.raylet(node))

    def shards(self, node: Any) -> set[int]:
        """The processes of the shards on a node."""
        return set(filter(is_shard, self.processes(node)))

    def all_shards(self) -> set[int]:
        """The processes of all shards of the cluster, also those whose raylet has died."""
        return {pid for pid, _, _ in living() if is_shard(pid) and belongs(pid, self._folder)}

    def forget(self, node: Any) -> None:
        """Remove a node whose raylet was killed, with all that is left of it."""
        self.nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def remove(self, node: Any) -> None:
        """Remove a node as an administrator does."""
        self.nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=True)

    def close(self) -> None:
        """End all nodes."""
        os.environ["RAY_TMPDIR"] = self._folder
        self._cluster.shutdown()
        del os.environ["RAY_TMPDIR"]
        until = monotonic() + PATIENCE
        while left := processes_of(self._folder) - {os.getpid()}:
            assert monotonic() < until, left
            send(left, signal.SIGKILL)
            sleep(0.05)
        shutil.rmtree(self._folder, ignore_errors=True)
