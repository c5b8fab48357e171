"""The coroutines of an event loop: how a burst of answers is read."""

from __future__ import annotations

import asyncio

import pytest

from variants import loop_workers
from variants.loop_workers import ReadingTurns


async def read_burst(pages: int) -> list[str]:
    """So many tasks that may all read at once, and a pump that each of them wakes: who ran, in order."""
    turns, ran, woken = ReadingTurns(asyncio.get_running_loop()), list[str](), asyncio.Event()

    async def read(page: int) -> None:
        await turns.wait()
        ran.append(f"page {page}")
        woken.set()

    async def pump() -> None:
        while True:
            await woken.wait()
            woken.clear()
            ran.append("pump")

    pumping = asyncio.create_task(pump())
    await asyncio.gather(*(read(page) for page in range(pages)))
    pumping.cancel()
    return ran


async def test_pages_that_take_long_are_read_one_per_turn_and_the_pump_runs_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_workers, "SLICE", -1.0)  # each page uses up its slice
    ran = await read_burst(6)
    assert [one for one in ran if one != "pump"] == [f"page {n}" for n in range(6)]
    assert all(ran[place + 1] == "pump" for place, one in enumerate(ran[:-1]) if one != "pump"), ran


async def test_pages_that_are_quickly_read_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_workers, "SLICE", 60.0)
    assert (await read_burst(6))[:6] == [f"page {n}" for n in range(6)]


async def test_a_task_that_is_cancelled_while_it_waits_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_workers, "SLICE", -1.0)
    turns = ReadingTurns(asyncio.get_running_loop())
    tasks = [asyncio.ensure_future(turns.wait()) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [type(one) for one in done] == [type(None), asyncio.CancelledError, type(None), type(None)]
    await asyncio.wait_for(turns.wait(), 5)
