"""Who is told that a run has ended: by URL and by command, once it is committed, again after a kill."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from crawler.service import on_end as module
from crawler.service.broadcast import Broadcast
from crawler.service.config import OnEndOfAll, ServiceConfig
from crawler.service.core.states import RunEvent, RunState
from crawler.service.database import FILE, ServiceDatabase
from crawler.service.identifiers import Identifiers
from crawler.service.on_end import EndNotifier
from crawler.service.records import Expect, JobRecord, OnEnd, Retry, RunRecord
from crawler.service.run_journal import RunJournal
from tests.service.open_service import until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)


class Hooked:
    """A journal, and a notifier that works on it."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.database = ServiceDatabase(folder / FILE)
        self.journal = RunJournal(self.database, Broadcast(), Identifiers())
        self.notifier = EndNotifier(self.journal, ServiceConfig(**config), folder)
        self.complaints: list[str] = []
        self.journal.complain = self.complaints.append  # type: ignore[assignment, method-assign]

    def end_a_run(self, url: str | None = None) -> RunRecord:
        job = JobRecord(
            id="job_000000000001",
            name="one",
            settings={},
            tags=(),
            expect=Expect(),
            retry=Retry(),
            recrawl=False,
            on_end=OnEnd(url=url),
            created_at=0.0,
            updated_at=0.0,
        )
        with self.journal.transaction():
            self.database.jobs.put(job)
            run = self.journal.create(job)
            return self.journal.apply(run.id, RunEvent.CANCEL)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.notifier.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.database.close()


@asynccontextmanager
async def hook(*statuses: int) -> AsyncIterator[tuple[str, list[RunRecord]]]:
    """A server that takes notices, and answers with these statuses, the last one for ever."""
    taken: list[RunRecord] = []

    async def take(request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        taken.append(msgspec.json.decode(await request.read(), type=RunRecord))
        status = statuses[min(len(taken), len(statuses)) - 1]
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        yield f"http://127.0.0.1:{port}/hook", taken
    finally:
        await runner.cleanup()


async def test_the_urls_of_the_job_and_of_the_service_get_the_run(tmp_path: Path) -> None:
    async with hook(200) as (first, taken), hook(204) as (second, others):
        hooked = Hooked(tmp_path, on_end=OnEndOfAll(url=second))
        run = hooked.end_a_run(first)
        assert run.state is RunState.CANCELLED and hooked.database.owed_notices() == [run.id]
        async with hooked.working():
            await until(lambda: not hooked.database.owed_notices())
        assert taken == [run] and others == [run]
        assert hooked.complaints == []


async def test_a_notice_that_fails_is_tried_again(tmp_path: Path) -> None:
    async with hook(500, 302, 200) as (url, taken):
        hooked = Hooked(tmp_path)
        hooked.end_a_run(url)
        async with hooked.working():
            await until(lambda: not hooked.database.owed_notices())
        assert len(taken) == 3 and hooked.complaints == []


async def test_a_notice_is_given_up_after_some_tries_and_that_is_told(tmp_path: Path) -> None:
    hooked = Hooked(tmp_path)
    run = hooked.end_a_run("http://127.0.0.1:1/hook")
    async with hooked.working():
        await until(lambda: not hooked.database.owed_notices())
    (complaint,) = hooked.complaints
    assert run.id in complaint and "http://127.0.0.1:1/hook" in complaint


async def test_what_was_owed_at_a_kill_is_told_by_the_next_service(tmp_path: Path) -> None:
    async with hook(200) as (url, taken):
        before = Hooked(tmp_path)
        run = before.end_a_run(url)
        before.database.close()
        hooked = Hooked(tmp_path)
        async with hooked.working():
            await until(lambda: not hooked.database.owed_notices())
        assert taken == [run]


async def test_a_command_gets_the_run_on_its_stdin(tmp_path: Path) -> None:
    target = tmp_path / "told.json"
    script = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    hooked = Hooked(tmp_path, on_end=OnEndOfAll(command=(sys.executable, "-c", script, str(target))))
    run = hooked.end_a_run()
    async with hooked.working():
        await until(lambda: not hooked.database.owed_notices())
    assert msgspec.json.decode(target.read_bytes(), type=RunRecord) == run


@pytest.mark.parametrize(
    ("command", "why"),
    [(("/no/such/program",), "No such file"), (("false",), "ended with 1"), (("sleep", "60"), "had not ended")],
)
async def test_a_command_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], why: str
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    monkeypatch.setattr(module, "TRIES", 2)
    hooked = Hooked(tmp_path, on_end=OnEndOfAll(command=command))
    hooked.end_a_run()
    async with hooked.working():
        await until(lambda: not hooked.database.owed_notices())
    (complaint,) = hooked.complaints
    assert why in complaint and command[0] in complaint
