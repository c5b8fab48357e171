"""A day of runs on a virtual clock, with crawl directories of a real crawl: what is kept stays below its bound."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from crawler.service.config import ServiceConfig
from crawler.service.core.states import RunState
from crawler.service.records import JobSpec
from crawler.service.run_file import RUNS, log_file
from crawler.service.service import Service
from crawler.settings import merge_layers
from crawler.testweb.process import start_web
from tests.contract.webs import crawl
from tests.service.open_service import settings

MINUTES = 30
LOG = 20_000
BEGIN = 1_800_000_000.0


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def test_a_day_of_runs_stays_below_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_web(flat=30) as web:
        await asyncio.to_thread(crawl, tmp_path / "crawl", merge_layers(settings(web)))
    each = size(tmp_path / "crawl") + LOG
    data, bound = tmp_path / "data", 5 * each
    service = await Service.open(data, ServiceConfig(keep_bytes=str(bound)))
    clock, kept = BEGIN, list[int]()
    monkeypatch.setattr("crawler.service.kept_runs.time", lambda: clock)
    jobs = [await service.add_job(JobSpec(name=name, settings=settings(web))) for name in ("one", "two")]
    for number in range(24 * 60 // MINUTES):
        clock = BEGIN + 60 * MINUTES * number
        run = await service.start(jobs[number % 2].name)
        shutil.copytree(tmp_path / "crawl", data / run.directory)
        log_file(data, run.id).write_bytes(b"x" * LOG)
        state = RunState.FAILED if number % 5 == 4 else RunState.SUCCEEDED
        with service._database.transaction():
            service._database.runs.put(replace(run, state=state, started_at=clock - 60, ended_at=clock))
        service._on_end(run)
        await service._kept.sweep()
        kept.append(size(data / RUNS))
        assert kept[-1] <= bound
    assert min(kept[10:]) > bound - 2 * each, "it keeps what it may"
    runs = (await service.runs(limit=1000)).items
    assert len(runs) == len(kept) and sum(not run.removed for run in runs) == len(await service.storage())
    assert size(data) - kept[-1] < 6_000_000, "the rows are small, and their WAL has 4 MiB at most"
    await service.close()
