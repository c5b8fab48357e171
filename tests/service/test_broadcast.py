"""The stream of events without a network: order, what is missed, slow clients."""

from __future__ import annotations

import asyncio

import pytest

from crawler.service.broadcast import RESET, Broadcast, Subscription
from crawler.service.records import ServiceEvent


def event(number: int, kind: str = "run") -> ServiceEvent:
    return ServiceEvent(kind, float(number), {"id": f"run_{number}"})  # type: ignore[arg-type]


def ids(sent: bytes) -> list[str]:
    return [line.removeprefix("id: ") for line in sent.decode().splitlines() if line.startswith("id: ")]


async def taken(one: Subscription) -> bytes:
    return await one.take(0.0)


async def test_an_event_is_sent_to_all_who_want_it() -> None:
    broadcast = Broadcast()
    with broadcast.subscribe() as everything, broadcast.subscribe("", lambda one: one.type == "job") as jobs:
        broadcast.publish(event(1))
        broadcast.publish(event(2, "job"))
        assert len(ids(await taken(everything))) == 2
        text = (await taken(jobs)).decode()
        assert text.splitlines()[1] == "event: job" and '"data":{"id":"run_2"}' in text and text.endswith("\n\n")
        assert await taken(jobs) == b""
        assert len(broadcast) == 2
    assert len(broadcast) == 0


async def test_waiting_ends_with_the_first_event() -> None:
    broadcast = Broadcast()
    with broadcast.subscribe() as one:
        waiting = asyncio.ensure_future(one.take(60.0))
        await asyncio.sleep(0)
        broadcast.publish(event(1))
        assert len(ids(await waiting)) == 1


async def test_a_client_that_comes_back_gets_what_it_missed() -> None:
    broadcast = Broadcast()
    with broadcast.subscribe() as one:
        for number in range(3):
            broadcast.publish(event(number))
        first, second, third = ids(await taken(one))
    broadcast.publish(event(3))
    with broadcast.subscribe(second) as again:
        assert ids(await taken(again))[0] == third
    with broadcast.subscribe(second, lambda one: False) as nothing:
        assert await taken(nothing) == b""
    assert first < second < third


async def test_progress_is_sent_but_not_kept() -> None:
    broadcast = Broadcast()
    broadcast.publish(event(0))
    with broadcast.subscribe() as one:
        broadcast.publish(event(1, "progress"))
        (last,) = ids(await taken(one))
    broadcast.publish(event(2, "progress"))
    with broadcast.subscribe(last) as again:
        assert await taken(again) == b""


@pytest.mark.parametrize("last_id", ["nonsense", "00000000-1", "-", "0-\u0661", f"x-{'9' * 40}"])
async def test_a_client_from_before_a_restart_starts_anew(last_id: str) -> None:
    broadcast = Broadcast()
    broadcast.publish(event(0))
    with broadcast.subscribe(last_id) as one:
        assert await taken(one) == RESET


async def test_a_client_that_missed_more_than_is_kept_starts_anew() -> None:
    broadcast = Broadcast(history=3)
    with broadcast.subscribe() as one:
        for number in range(5):
            broadcast.publish(event(number))
        seen = ids(await taken(one))
    for known, missed in ((0, None), (1, 3), (3, 1), (4, 0)):
        with broadcast.subscribe(seen[known]) as again:
            sent = await taken(again)
            assert sent == RESET if missed is None else len(ids(sent)) == missed
    with broadcast.subscribe(f"{seen[0].partition('-')[0]}-99") as future:
        assert await taken(future) == RESET


async def test_a_client_that_takes_nothing_is_dropped_and_freed() -> None:
    broadcast = Broadcast(most_queued=10)
    with broadcast.subscribe() as slow, broadcast.subscribe() as quick:
        for number in range(11):
            broadcast.publish(event(number))
            assert ids(await taken(quick))
        assert slow.over and not quick.over
        assert await taken(slow) == b""
        broadcast.publish(event(12))
        assert await taken(slow) == b""


async def test_the_end_of_the_service_ends_every_stream() -> None:
    broadcast = Broadcast()
    with broadcast.subscribe() as one:
        waiting = asyncio.ensure_future(one.take(60.0))
        await asyncio.sleep(0)
        broadcast.close()
        assert await waiting == b"" and one.over
    with broadcast.subscribe() as late:
        assert late.over
