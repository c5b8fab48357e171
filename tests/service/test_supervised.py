"""A crawl as the service runs it, in every mode: what it is told while it runs, judged by the log of the web."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

import variants
from crawler.service.capped_log import CappedLog
from crawler.service.child import ChildExit, ChildProcess
from crawler.service.core.states import RunState
from crawler.service.protocol import (
    AnyMessage,
    ChildEnded,
    ChildProgress,
    ChildStarted,
    LimitRun,
    PauseRun,
    ResumeRun,
    StopRun,
)
from crawler.service.records import Expect, JobRecord, OnEnd, Retry, RunProgress, RunRecord
from crawler.service.run_file import RunFile, write_run_file
from crawler.testweb.flat import FlatWeb
from crawler.testweb.log import LogEntry, read_log
from crawler.testweb.oracle import crawl_digest, expected
from crawler.testweb.process import StartedWeb, start_web
from tests.service.open_service import settings, until

PAGES = 160
WHOLE = crawl_digest(expected(FlatWeb(PAGES)))
DELAY = 0.06
LATENCY = 0.05

pytestmark = pytest.mark.slow


class Supervised:
    """A child with what it has told."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[AnyMessage] = []
        self.directory = folder / "run"
        self._folder = folder

    async def start(self, told: dict[str, Any]) -> ChildProcess:
        job = JobRecord(
            id="job_1",
            name="flat",
            settings=told,
            tags=(),
            expect=Expect(),
            retry=Retry(),
            recrawl=False,
            on_end=OnEnd(),
            created_at=0.0,
            updated_at=0.0,
        )
        run = RunRecord(
            id="run_1", job="job_1", job_name="flat", state=RunState.STARTING, directory="run", created_at=0.0
        )
        write_run_file(self._folder / "run.json", RunFile(run=run, job=job, settings=told))
        command = ["-m", "crawler", "supervised", str(self.directory), "--run", str(self._folder / "run.json")]
        self.child = await ChildProcess.start(command, CappedLog(self._folder / "run.log", 1 << 20), self.heard.append)
        return self.child

    @property
    def progress(self) -> list[RunProgress]:
        return [message.progress for message in self.heard if isinstance(message, ChildProgress)]

    def told_of(self, pages: int) -> bool:
        return bool(self.progress) and self.progress[-1].pages >= pages

    def is_quiet(self) -> bool:
        """Whether two snapshots in a row say so: the numbers of one are not read at the same moment."""
        last = self.progress[-2:]
        return len(last) == 2 and all(one.paused == "user" and not one.in_flight for one in last)

    async def ended(self) -> tuple[ChildExit, dict[str, Any]]:
        found = await self.child.ended()
        (last,) = [message for message in self.heard if isinstance(message, ChildEnded)]
        return found, last.summary


@pytest.mark.parametrize("mode", variants.names())
async def test_limits_and_a_pause_are_obeyed_in_every_mode(mode: str, tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    with start_web(flat=PAGES, latency=LATENCY, log=log) as web:
        supervised = Supervised(tmp_path)
        child = await supervised.start(_settings(web, mode))
        await until(lambda: log.exists() and len(_pages(log)) > 20)
        child.order(LimitRun(delay=DELAY))
        before = len(_pages(log))
        limited = await until(lambda: _limited(log, before))
        assert all(later.at - entry.end >= DELAY - 0.003 for entry, later in pairwise(limited)), (
            "the delay is not kept, or two fetches were in flight"
        )
        child.order(PauseRun())
        await until(supervised.is_quiet)
        quiet, told = len(_pages(log)), len(supervised.progress)
        await until(lambda: len(supervised.progress) > told + 1)
        assert len(_pages(log)) == quiet, "a fetch in a pause"
        child.order(LimitRun())
        child.order(ResumeRun())
        found, summary = await supervised.ended()
        assert (found.exit_code, summary["digest"], summary["mode"]) == (0, WHOLE, mode)
        assert summary["pauses"].get("user", 0) >= 1
        assert isinstance(supervised.heard[0], ChildStarted)


def _settings(web: StartedWeb, mode: str) -> dict[str, Any]:
    return settings(web, mode=mode, processes=2, per_host=4, concurrency=4)


def _pages(log: Path) -> list[LogEntry]:
    return [entry for entry in read_log(log) if entry.path != "/robots.txt"]


def _limited(log: Path, before: int) -> list[LogEntry]:
    """15 requests from when on the delay is kept; none as long as there are fewer."""
    entries = _pages(log)[before:]
    kept = next((n for n, (one, two) in enumerate(pairwise(entries)) if two.at - one.end >= DELAY / 2), len(entries))
    found = entries[kept + 2 :]
    return found[:15] if len(found) >= 15 else []


async def test_what_is_ordered_before_the_crawl_begins_is_obeyed_from_its_first_step(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    with start_web(flat=20, log=log) as web:
        supervised = Supervised(tmp_path)
        child = await supervised.start(_settings(web, "async"))
        child.order(PauseRun())
        await until(supervised.is_quiet)
        assert not _pages(log)
        child.order(StopRun())
        found, summary = await supervised.ended()
        assert (found.exit_code, summary["ending"]) == (1, "stopped")


async def test_it_ends_with_the_service_and_the_next_one_waits_for_its_lock(tmp_path: Path) -> None:
    with start_web(flat=40, latency=0.05) as web:
        first = Supervised(tmp_path)
        child = await first.start(_settings(web, "processes"))
        await until(lambda: any(isinstance(message, ChildStarted) for message in first.heard))
        second = Supervised(tmp_path)
        await second.start(_settings(web, "async"))
        child.abandon()
        found = await child.ended()
        assert found.exit_code == 137 or found.signal == 9
        found, summary = await second.ended()
        assert (found.exit_code, summary["complete"]) == (0, True)


async def test_what_cannot_be_crawled_ends_with_a_line_and_no_message(tmp_path: Path) -> None:
    supervised = Supervised(tmp_path)
    child = await supervised.start({"seeds": ["nonsense"]})
    found = await child.ended()
    assert found.exit_code == 2 and "not a URL" in found.stderr
    assert supervised.heard == []
    (tmp_path / "run.json").write_bytes(b"{")
    command = ["-m", "crawler", "supervised", str(tmp_path / "run"), "--run", str(tmp_path / "run.json")]
    child = await ChildProcess.start(command, CappedLog(tmp_path / "run.log", 1000), supervised.heard.append)
    found = await child.ended()
    assert found.exit_code == 3 and "cannot read the settings of the run" in found.stderr


async def test_what_is_printed_goes_to_the_log_and_not_between_the_messages(tmp_path: Path) -> None:
    with start_web(flat=5) as web:
        supervised = Supervised(tmp_path)
        child = await supervised.start(_settings(web, "threads"))
        child._orders.write(b"this is no order\n")  # type: ignore[union-attr]
        found, summary = await supervised.ended()
        assert summary["complete"] and "an order that is none" in found.stderr
        assert "cannot be read" not in (tmp_path / "run.log").read_text()
        json_lines = [line for line in found.stderr.splitlines() if line.startswith("{")]
        assert all(msgspec.json.decode(line) for line in json_lines)
