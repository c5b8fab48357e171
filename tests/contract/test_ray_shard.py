"""A shard on Ray ends by itself once its driver takes no more part, because Ray may leave it running. Without Ray."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from crawler.runtime.memory_plan import Shares
from crawler.settings import Settings
from variants.ray_shard import CHECKS, Outbox, ShardActor
from variants.shard_worker import ShardSpec

LEASE, LONG_AFTER = 20.0, 10 * CHECKS


class Exited(BaseException):
    """Takes the place of the end of this process."""


class LivedOn(BaseException):
    """It did not end for ten leases."""


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between checks, which take no time."""
    pauses: list[float] = []
    pause = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > LONG_AFTER:
            raise LivedOn
        await pause(0)

    def leave(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr("variants.ray_shard.asyncio.sleep", sleep)
    monkeypatch.setattr("variants.ray_shard.os._exit", leave)
    return pauses


def actor() -> ShardActor:
    shares = Shares(1, 1, 1, 1, 1)
    spec = ShardSpec(Settings(lease=LEASE), "", 1, 1, 0, 2, 0, (), 0.0, shares)
    return ShardActor(msgspec.json.encode(spec), "")


async def test_it_ends_when_nobody_has_asked_for_frames_for_a_lease(checks: list[float]) -> None:
    with pytest.raises(Exited):
        await actor()._exit_when_forgotten(Outbox())
    assert checks == [LEASE / CHECKS] * CHECKS


async def test_it_lives_while_the_driver_waits_for_frames(checks: list[float]) -> None:
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    with pytest.raises(LivedOn):
        await actor()._exit_when_forgotten(outbox)
    waiting.cancel()


async def test_it_ends_when_a_frame_of_the_driver_is_missing(checks: list[float]) -> None:
    outbox, one = Outbox(), actor()
    waiting = asyncio.create_task(outbox.take())
    await one.take(1, b"")
    with pytest.raises(Exited):
        await one._exit_when_forgotten(outbox)
    assert len(checks) == CHECKS + 1, "once to see that one is missing"
    waiting.cancel()
