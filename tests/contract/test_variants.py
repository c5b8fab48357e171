"""Every engine does the same: one suite over each mode and client, judged by the oracle and by the server's log."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest

import crawler
import variants
from crawler.core.bounds import Bounds
from crawler.core.endings import missed
from crawler.core.messages import Actions
from crawler.errors import Corrupt, CrawlerError, Locked, UsageError, WorkersLost
from crawler.metrics.process_tree import descendants
from crawler.runtime.job import Job, Run
from crawler.runtime.memory_plan import Shares
from crawler.settings import merge_layers
from crawler.storage.directory import CrawlDirectory
from crawler.testweb.oracle import crawl_digest
from crawler.testweb.process import StartedWeb, start_web
from crawler.testweb.referee import judge
from tests.contract import webs

MODES = [
    pytest.param(mode, client, marks=pytest.mark.slow if mode in variants.FORKED and number else ())
    for mode in variants.names()
    for number, client in enumerate(variants.load(mode).CLIENTS)
]
"""Slow: every client but the first where workers are processes, as they fetch like coroutines and threads do."""
EACH_MODE = pytest.mark.parametrize("mode", variants.names())


class LoggedWeb:
    """A running web and the log of what it was asked."""

    def __init__(self, started: StartedWeb, log: Path) -> None:
        self.started = started
        self.log = log


@pytest.fixture
def web(tmp_path: Path) -> Iterator[LoggedWeb]:
    log = tmp_path / "web.log"
    with start_web(hosts=webs.HOSTS, pages=webs.PAGES, log=log) as started:
        yield LoggedWeb(started, log)


@pytest.mark.parametrize(("mode", "client"), MODES)
def test_it_settles_what_the_oracle_expects_and_is_polite(
    web: LoggedWeb, tmp_path: Path, mode: str, client: str
) -> None:
    chosen = webs.settings(web.started, mode, client=client, seeds=web.started.settings.seeds)
    summary = webs.crawl(tmp_path / "out", chosen)
    settled = webs.rows(tmp_path / "out")
    found = {url: (row.reason, row.status) for url, row in settled.items()}
    assert found == {url: (end.reason, end.status) for url, end in webs.WHOLE.items()}
    assert summary.digest == crawl_digest(webs.WHOLE)
    assert (summary.ending, summary.mode, summary.client) == ("incomplete", mode, client)
    assert summary.incomplete_because == missed(summary.reasons, {}), "what the web never answers"
    web.started.close()
    verdict = judge(web.log, webs.WEB, webs.DELAY)
    breaches = verdict.gaps or verdict.overlaps or verdict.holds or verdict.closed or verdict.disallowed
    assert verdict.clean, breaches or verdict
    assert verdict.duplicates == []


@pytest.mark.parametrize(("loop", "package"), [("uvloop", "uvloop"), ("asyncio", "asyncio"), ("auto", "uvloop")])
def test_the_event_loop_is_the_one_that_is_asked_for(web: LoggedWeb, tmp_path: Path, loop: str, package: str) -> None:
    ran = set[str]()

    def see(run: Run) -> None:
        assert isinstance(run, Job)
        run.recorder.observe(lambda actions: ran.add(type(asyncio.get_running_loop()).__module__.partition(".")[0]))

    assert webs.crawl(tmp_path / "out", webs.settings(web.started, "async", loop=loop), see).digest == webs.DIGEST
    assert ran == {package}


@pytest.mark.parametrize("mode", variants.ON_LOOP)
def test_a_loop_that_is_not_installed_is_refused(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "find_spec", lambda name: None)
    variants.check_loop(mode, "auto")
    variants.check_loop("threads", "uvloop")
    with pytest.raises(UsageError, match="pip install uvloop, or use --loop asyncio"):
        variants.check_loop(mode, "uvloop")


@EACH_MODE
def test_hardly_any_memory_changes_nothing_that_is_found_and_nothing_of_its_politeness(
    web: LoggedWeb, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shares, "bounds", Bounds(hosts=4, links=6, marks=20))
    monkeypatch.setattr("crawler.core.urls.seen.RECENT", 8)
    chosen = webs.settings(web.started, mode)
    stopped = webs.crawl(tmp_path / "out", chosen, webs.stop_after(60))
    assert not stopped.complete
    summary = webs.crawl(tmp_path / "out", chosen)
    assert (summary.digest, summary.owed) == (webs.DIGEST, 0)
    found = {url: (row.reason, row.status) for url, row in webs.rows(tmp_path / "out").items()}
    assert found == {url: (end.reason, end.status) for url, end in webs.EXPECTED.items()}
    web.started.close()
    assert judge(web.log, webs.WEB, webs.DELAY).clean


@EACH_MODE
def test_heartbeats_of_all_workers_are_told_and_only_if_wanted(web: LoggedWeb, tmp_path: Path, mode: str) -> None:
    began = monotonic()
    beat = webs.crawl(tmp_path / "with", webs.settings(web.started, mode, heartbeat=0.01, processes=2)).heartbeat
    possible = (monotonic() - began) / 0.01 * (2 if mode in ("processes", "prefork") else 1)
    assert beat
    assert 20 < beat.beats <= possible
    assert beat.beats == sum(count for _, count in beat.counts)
    assert 0 <= beat.p50 <= beat.p99 <= beat.max
    assert webs.crawl(tmp_path / "without", webs.settings(web.started, mode, max_pages=10)).heartbeat is None


@EACH_MODE
def test_spin_burns_cpu_on_every_page_and_changes_nothing_else(web: LoggedWeb, tmp_path: Path, mode: str) -> None:
    summary = webs.crawl(tmp_path / "out", webs.settings(web.started, mode, spin=0.01))
    assert summary.digest == webs.DIGEST
    assert summary.cpu_seconds > 0.01 * summary.pages


@EACH_MODE
def test_the_files_store_gives_the_same_digest(web: LoggedWeb, tmp_path: Path, mode: str) -> None:
    summary = webs.crawl(tmp_path / "out", webs.settings(web.started, mode, store="files"))
    assert summary.digest == webs.DIGEST


@EACH_MODE
def test_stored_pages_are_exactly_the_named_records(web: LoggedWeb, tmp_path: Path, mode: str) -> None:
    webs.crawl(tmp_path / "out", webs.settings(web.started, mode))
    store = CrawlDirectory.open_readonly(tmp_path / "out").store()
    records = {(part, at): page for part in store.parts() for at, page in store.pages(part)}
    named = {(row.part, row.position): row for row in webs.rows(tmp_path / "out").values() if row.part}
    assert records.keys() == named.keys()
    assert all(records[place].url == row.url and records[place].digest == row.digest for place, row in named.items())
    assert store.unclosed() == []


@EACH_MODE
def test_stop_drains_and_a_resume_asks_nothing_twice(web: LoggedWeb, tmp_path: Path, mode: str) -> None:
    chosen = webs.settings(web.started, mode)
    first = webs.crawl(tmp_path / "out", chosen, webs.stop_after(60))
    assert (first.ending, first.complete) == ("stopped", False)
    assert 0 < first.urls < len(webs.EXPECTED)
    second = webs.crawl(tmp_path / "out", chosen)
    assert (second.digest, second.owed) == (webs.DIGEST, 0)
    assert second.urls_this_run == second.urls - first.urls
    web.started.close()
    verdict = judge(web.log, webs.WEB, webs.DELAY)
    assert (verdict.duplicates, verdict.clean) == ([], True), verdict


@pytest.mark.parametrize(
    "pair", [("async", "threads"), ("threads", "processes"), ("processes", "prefork"), ("prefork", "async")]
)
def test_any_mode_resumes_any_crawl(web: LoggedWeb, tmp_path: Path, pair: tuple[str, str]) -> None:
    webs.crawl(tmp_path / "out", webs.settings(web.started, pair[0]), webs.stop_after(60))
    assert webs.crawl(tmp_path / "out", webs.settings(web.started, pair[1])).digest == webs.DIGEST


@EACH_MODE
def test_a_stop_before_the_start_ends_at_once(web: LoggedWeb, tmp_path: Path, mode: str) -> None:
    from crawler.core.messages import Stop

    began = monotonic()
    summary = webs.crawl(tmp_path / "out", webs.settings(web.started, mode), lambda job: job.post(Stop()))
    assert summary.ending == "stopped"
    assert monotonic() - began < 8


@EACH_MODE
def test_a_page_budget_is_kept_and_can_be_lifted(web: LoggedWeb, tmp_path: Path, mode: str) -> None:
    limited = webs.crawl(tmp_path / "out", webs.settings(web.started, mode, max_pages=30))
    assert (limited.urls, limited.ending, limited.complete) == (30, "limit", False)
    assert webs.crawl(tmp_path / "out", webs.settings(web.started, mode)).digest == webs.DIGEST


@EACH_MODE
def test_a_crawl_that_is_over_asks_again_for_what_it_missed_and_nothing_else(
    web: LoggedWeb, tmp_path: Path, mode: str
) -> None:
    chosen = webs.settings(web.started, mode)
    first = webs.crawl(tmp_path / "out", chosen)
    half = tmp_path / "out" / ".report.html"
    half.touch()
    again = webs.crawl(tmp_path / "out", chosen)
    assert not half.exists(), "a kill had left a report half written"
    assert again.asked_again == first.incomplete_because
    assert (again.digest, again.urls, again.ending) == (first.digest, first.urls, "incomplete")
    assert 0 < again.urls_this_run <= sum(first.incomplete_because.values())


def test_workers_that_die_at_once_end_the_crawl_with_one_line(
    web: LoggedWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("variants.processes.MOST_DEATHS", 4)
    monkeypatch.setattr("variants.worker_pool.START_PATIENCE", 3.0)
    with killing_every_new_worker(), pytest.raises(CrawlerError, match="worker process"):
        webs.crawl(tmp_path / "out", webs.settings(web.started, "processes"))
    assert webs.crawl(tmp_path / "out", webs.settings(web.started, "threads")).digest == webs.DIGEST


def test_a_hung_worker_costs_each_of_its_urls_one_loss(tmp_path: Path) -> None:
    stopped: list[int] = []

    def watch(run: Run) -> None:
        def stop_a_worker(actions: Actions) -> None:
            if not stopped and len(actions.fetches) > 3:
                threading.Timer(0.2, lambda: os.kill(stopped[0], signal.SIGSTOP)).start()
                children = descendants(os.getpid())
                stopped.append(next(pid for pid in children if parent_of(pid) in children))

        assert isinstance(run, Job)
        run.recorder.observe(stop_a_worker)

    with start_web(flat=12, latency=0.6) as flat:
        limits = {"timeout": 2.0, "lease": 4.0, "lost_limit": 2, "processes": 1, "per_host": 6, "delay": 0.0}
        summary = webs.crawl(tmp_path / "out", webs.settings(flat, "processes", **limits), watch)
    assert stopped
    assert (summary.over, summary.reasons) == (True, {"ok": 13})


@contextmanager
def killing_every_new_worker() -> Iterator[None]:
    """Kill -9 every worker process soon after it has started."""
    ended = threading.Event()

    def kill_workers() -> None:
        while not ended.wait(0.005):
            children = descendants(os.getpid())
            for pid in children:
                if parent_of(pid) in children:  # a worker is a child of the fork server
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_workers)
    killer.start()
    try:
        yield
    finally:
        ended.set()
        killer.join()


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@EACH_MODE
def test_missing_pages_are_noticed_before_anything_is_fetched(web: LoggedWeb, tmp_path: Path, mode: str) -> None:
    chosen = webs.settings(web.started, mode, max_pages=30)
    webs.crawl(tmp_path / "out", chosen)
    for part in (tmp_path / "out").rglob("parts/*.sqlite"):
        part.unlink()
    with pytest.raises(Corrupt, match="missing"):
        webs.crawl(tmp_path / "out", chosen)


@pytest.mark.parametrize("way", ["on standard input", "without a guard"])
def test_a_program_that_workers_cannot_import_ends_with_a_reason(web: LoggedWeb, tmp_path: Path, way: str) -> None:
    """Both make every worker die while it starts, over and over."""
    call = (
        f"crawler.crawl({web.started.settings.seeds[0]!r}, out={str(tmp_path / 'out')!r}, mode='processes', delay=0.01)"
    )
    program = f"import crawler\n{call}\n"
    (tmp_path / "program.py").write_text(program)
    where = ["-"] if way == "on standard input" else [str(tmp_path / "program.py")]
    done = subprocess.run(
        [sys.executable, *where],
        input=program,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(crawler.__file__).parents[1],
    )
    assert done.returncode == 1
    assert "__main__" in done.stderr.splitlines()[-1], done.stderr[-500:]


def test_a_directory_in_use_is_refused(web: LoggedWeb, tmp_path: Path) -> None:
    chosen = webs.settings(web.started, "async")
    held = CrawlDirectory.create(tmp_path / "out", chosen, demo=False, fresh=False)
    with pytest.raises(Locked, match=r"process \d+"):
        CrawlDirectory.open(tmp_path / "out")
    held.close()


def test_an_unknown_mode_and_a_client_it_cannot_use_are_refused_with_a_hint() -> None:
    with pytest.raises(UsageError, match="did you mean 'threads'"):
        variants.load("thread")
    from crawler.settings import Settings

    with pytest.raises(UsageError, match="it can use: aiohttp"):
        variants.client_of(Settings(mode="async", client="curl"))


@pytest.mark.parametrize(("processes", "concurrency", "shards"), [(4, 2, 2), (2, 100, 2), (3, None, 3)])
def test_every_shard_has_a_fetch_in_flight(processes: int, concurrency: int | None, shards: int) -> None:
    assert (
        variants.shards_of(merge_layers({"mode": "prefork", "processes": processes, "concurrency": concurrency}))
        == shards
    )


@pytest.mark.parametrize("pages", [7, 60])
def test_shards_share_one_budget_of_pages_and_spend_it_to_the_last(web: LoggedWeb, tmp_path: Path, pages: int) -> None:
    summary = webs.crawl(tmp_path / "out", webs.settings(web.started, "prefork", processes=3, max_pages=pages))
    assert (summary.urls, summary.ending) == (pages, "limit")


def test_shards_that_die_one_after_another_end_the_crawl_with_a_line_that_says_what_to_try(
    web: LoggedWeb, tmp_path: Path
) -> None:
    with (
        killing_every_new_worker(),
        pytest.raises(WorkersLost, match=r"one after another.*try --mode async"),
    ):
        webs.crawl(tmp_path / "out", webs.settings(web.started, "prefork", processes=2))
