"""A database that is damaged is made anew from what lies beside the crawl directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.errors import Corrupt
from crawler.service.config import ServiceConfig
from crawler.service.core.states import RunReason, RunState
from crawler.service.database import FILE
from crawler.service.rebuild import rebuild_database
from crawler.service.run_file import run_file
from crawler.service.service import Service
from crawler.testweb.process import start_web
from tests.service.open_service import ended, job, pages_of, serving

pytestmark = pytest.mark.slow


async def test_runs_and_jobs_come_back_and_what_was_running_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with start_web(flat=30) as web:
        async with serving(tmp_path) as service:
            added = await service.add_job(job(web))
            done = await ended(service, await service.start("flat"))
            lost = await ended(service, await service.start("flat"))
            run_file(tmp_path, lost.id).unlink()
            slow = await service.start("flat", settings={"delay": 0.05, "per_host": 1})
            await pages_of(service, slow)
            token = service.token_file.read_text().strip()
        (tmp_path / FILE).write_bytes(b"not a database, by any reading of it" * 200)
        with pytest.raises(Corrupt, match="--rebuild"):
            await Service.open(tmp_path, ServiceConfig())
        service = await Service.open(tmp_path, ServiceConfig(), rebuild=True)
        await service.close()
        assert "rebuilt 3 runs of 2 jobs" in capfd.readouterr().err
        assert (tmp_path / f"{FILE}.broken").exists()
        async with serving(tmp_path) as service:
            assert await service.job("flat") == added
            assert await service.run(done.id) == done
            again = await ended(service, slow)
            assert (again.state, again.directory) == (RunState.SUCCEEDED, slow.directory)
            found = await service.run(lost.id)
            assert (found.state, found.reason) == (RunState.SUCCEEDED, RunReason.COMPLETE)
            assert found.job_name == f"found-{lost.id}"
            assert await service.check_token(token) == "admin"


def test_a_directory_that_cannot_be_read_is_told_as_lost(tmp_path: Path) -> None:
    broken = tmp_path / "runs" / "run_00000000000a"
    broken.mkdir(parents=True)
    (broken / "crawl.json").write_bytes(b"{")
    found = rebuild_database(tmp_path)
    assert (found.jobs, found.runs, found.kept) == (1, 1, None)
    assert rebuild_database(tmp_path).kept == tmp_path / f"{FILE}.broken"
    assert rebuild_database(tmp_path).kept == tmp_path / f"{FILE}.broken1"


async def test_a_directory_with_generations_becomes_a_job_that_crawls_again(tmp_path: Path) -> None:
    with start_web(flat=5) as web:
        async with serving(tmp_path) as service:
            await service.add_job(job(web, recrawl=True))
            for _ in range(2):
                run = await ended(service, await service.start("flat"))
        for path in (tmp_path / "runs").glob("run_*.json"):
            path.unlink()
        service = await Service.open(tmp_path, ServiceConfig(), rebuild=True)
        await service.close()
        async with serving(tmp_path) as service:
            (found,) = (await service.jobs()).items
            (last,) = (await service.runs()).items
            assert (found.recrawl, last.recrawl, last.generation) == (True, True, 1)
            again = await ended(service, await service.start(found.id))
            assert (again.directory, again.generation) == (run.directory, 2)
