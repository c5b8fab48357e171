"""An open service with its loops running, and waits for what it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from crawler.service.config import ServiceConfig
from crawler.service.core.states import FINAL, RunState
from crawler.service.records import JobSpec, RunRecord
from crawler.service.service import Service
from crawler.testweb.process import StartedWeb

PATIENCE = 60.0
"""Seconds after which a wait has failed; on a busy machine a process may need many to start."""


@asynccontextmanager
async def serving(data: Path, **config: Any) -> AsyncIterator[Service]:
    """A service on a data folder, until the block ends."""
    service = await Service.open(data, ServiceConfig(**{"disk_floor": "1K", **config}))
    working = asyncio.create_task(service.run_forever())
    try:
        await until(service.ready)
        yield service
    finally:
        await service.close()
        await working


async def until(condition: Callable[[], Any]) -> Any:
    """Wait until a condition holds; returns what it returned."""
    give_up_at = monotonic() + PATIENCE
    while not (found := condition()):
        assert monotonic() < give_up_at, "it did not happen"
        await asyncio.sleep(0.01)
    return found


async def in_state(service: Service, run: RunRecord, *states: RunState) -> RunRecord:
    """Wait until a run is in one of these states."""
    give_up_at = monotonic() + PATIENCE
    while (found := await service.run(run.id)).state not in states:
        assert monotonic() < give_up_at, f"{found} after {await service.transitions(run.id)}"
        assert found.state not in FINAL, found
        await asyncio.sleep(0.01)
    return found


async def ended(service: Service, run: RunRecord) -> RunRecord:
    """Wait until a run has ended."""
    return await in_state(service, run, *FINAL)


async def pages_of(service: Service, run: RunRecord, at_least: int = 1) -> int:
    """Wait until a run tells of so many pages."""
    give_up_at = monotonic() + PATIENCE
    while True:
        told = await service.progress(run.id)
        if told is not None and told.pages >= at_least:
            return told.pages
        assert monotonic() < give_up_at, "no progress"
        await asyncio.sleep(0.01)


def settings(web: StartedWeb, **keys: Any) -> dict[str, Any]:
    """The settings of a job that crawls a web fast."""
    return {
        "seeds": list(web.settings.seeds),
        "resolve": web.settings.resolve,
        "attempt_header": web.settings.attempt_header,
        "delay": 0,
        "per_host": 4,
        "report": False,
        **keys,
    }


def job(web: StartedWeb, name: str = "flat", keys: dict[str, Any] | None = None, **fields: Any) -> JobSpec:
    """A job that crawls a web fast, with other `keys` of its settings."""
    return JobSpec(name=name, settings=settings(web, **(keys or {})), **fields)
