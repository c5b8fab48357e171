"""`ray`: the shards of `prefork` as actors of a Ray cluster, on this machine or on many.

The arbiter is that of `prefork`. Ray places the actors, carries the messages and notices what dies; a shard is durable
in its frontier. variants/ray_shard.py has the actor, variants/ray_session.py the cluster.

Rules:
- A shard that dies with its process or its node, or sends nothing for a lease, is started again wherever Ray finds
  room, and resumes from its frontier. Ray itself restarts and repeats nothing: a message that is lost is sent again by
  the shard that keeps it in its outbox.
- Shards are spread over the nodes. One that finds no room waits in Ray's queue, which is no death.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any

import msgspec

from crawler.core.reasons import Ending
from crawler.fetch import ASYNC_CLIENTS
from crawler.runtime.job import Run
from crawler.system import clock
from variants import shards_of
from variants.async_loop import CONCURRENCY as CONCURRENCY
from variants.async_loop import loop_factory
from variants.channel import ControlMessage, ShardExit
from variants.prefork import Arbiter
from variants.ray_session import ray_session
from variants.ray_shard import ShardActor
from variants.shard_process import PATIENCE
from variants.shard_worker import ShardSpec

CLIENTS = ASYNC_CLIENTS
CPUS = 0.5
"""What a shard asks of Ray. A node takes twice as many shards as it has cores, while others are away."""
CALLS = 64
_encode = msgspec.msgpack.Encoder().encode


class ActorChannel:
    """The way to a shard: numbered frames, as calls of its actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._number = 0

    def send(self, messages: Sequence[ControlMessage]) -> None:
        """Send messages in one frame. Where the actor is gone they are lost."""
        if messages:
            self._actor.take.remote(self._number, _encode(messages))
            self._number += 1

    def close(self) -> None:
        """Nothing to close."""


class ShardOnRay:
    """A running actor. `lease`: seconds it may be silent once it has sent its first message."""

    def __init__(self, ray: Any, actor: Any, lease: float) -> None:
        self.channel = ActorChannel(actor)
        self.exit: ShardExit | None = None
        self.answer_due = monotonic() + max(PATIENCE, lease)
        self._ray = ray
        self._actor = actor
        self._lease = lease

    def on_message(self) -> None:
        """It is alive."""
        self.answer_due = monotonic() + self._lease

    def has_raised(self) -> bool:
        """Not known of an actor."""
        return False

    def kill(self) -> None:
        """Kill it."""
        self._ray.kill(self._actor, no_restart=True)

    def end(self) -> None:
        """Kill it."""
        self.kill()


class RayArbiter(Arbiter):
    """The arbiter of shards on a Ray cluster."""

    def __init__(self, run: Run, shards: int, ray: Any) -> None:
        super().__init__(run, shards)
        self._ray = ray
        self._actors = ray.remote(
            num_cpus=CPUS, max_restarts=0, max_task_retries=0, max_concurrency=CALLS, scheduling_strategy="SPREAD"
        )(ShardActor)
        self._tasks: set[asyncio.Task[None]] = set()

    async def _start(self, spec: ShardSpec) -> ShardOnRay:
        actor = self._actors.remote(msgspec.json.encode(spec), clock.boot())
        actor.crawl.remote()
        one = ShardOnRay(self._ray, actor, self._run.settings.lease)
        task = self._loop.create_task(self._receive(spec.index, actor, one))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return one

    async def _receive(self, shard: int, actor: Any, one: ShardOnRay) -> None:
        """Take the frames of a shard until its last message, or its death."""
        try:
            while one.exit is None:
                for frame in await actor.frames.remote():
                    if self._shards.get(shard) is one:
                        self._on_message(shard, frame)
        except self._ray.exceptions.RayError:
            pass  # it died, which `_lost` counts
        finally:
            one.end()
            self._lost(shard, one.channel)


def run(run: Run) -> Ending:
    """Run a crawl on a Ray cluster. Raises StorageError, WorkersLost."""
    shards = shards_of(run.settings)
    with (
        ray_session(run.settings.ray_address, shards) as ray,
        asyncio.Runner(loop_factory=loop_factory(run.settings.loop)) as runner,
    ):
        return runner.run(_arbitrate(run, shards, ray))


async def _arbitrate(run: Run, shards: int, ray: Any) -> Ending:
    arbiter = RayArbiter(run, shards, ray)
    run.attach(arbiter)
    return await arbiter.run()
