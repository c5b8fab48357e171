"""Filters and callbacks: the same in every mode, after a resume, and where they fail."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import crawler
import variants
from crawler.settings.functions import find_function, function_name
from crawler.storage.directory import CrawlDirectory
from crawler.storage.repair import repair
from crawler.testweb.process import StartedWeb, start_web
from tests.contract import callbacks, webs
from tests.contract.test_api import PAGES, keys

HERE = "tests.contract.callbacks"
FAILED = {url for url, end in webs.EXPECTED.items() if end.reason not in ("ok", "redirect")}
CALLED = [mode for mode in variants.names() if mode != "prefork"]
"""The modes that accept functions as such."""


@pytest.fixture(scope="module")
def web() -> Iterator[StartedWeb]:
    with start_web(hosts=webs.HOSTS, pages=webs.PAGES) as started:
        yield started


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of the functions in `callbacks`, for programs that are started after this."""
    path = tmp_path / "log"
    monkeypatch.setenv(callbacks.LOG, str(path))
    path.touch()
    return path


def urls(out: Path) -> set[str]:
    return set(webs.rows(out))


# ---- filters ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(web: StartedWeb, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The URLs of a filtered crawl in mode async; every one is a seed, or the filter's."""
    out = tmp_path_factory.mktemp("kept") / "out"
    crawler.crawl(*webs.seeds(web), out=out, filter=callbacks.keep, **keys(web))
    found = urls(out)
    assert {url for url in found if not callbacks.keep(url)} <= set(webs.seeds(web))
    assert len(webs.EXPECTED) > len(found) > len(webs.seeds(web))
    return found


@pytest.mark.parametrize("mode", variants.names())
def test_a_filter_by_name_leads_to_the_same_urls_in_every_mode_and_after_a_resume(
    web: StartedWeb, tmp_path: Path, mode: str, kept: set[str]
) -> None:
    out, name = tmp_path / "out", f"{HERE}:keep"
    first = crawler.crawl(*webs.seeds(web), out=out, mode=mode, max_pages=10, filter=name, **keys(web))
    assert first.ending == "limit"
    last = crawler.crawl(out=out, mode=mode, resume=True, **keys(web))
    assert last.over and last.not_followed["excluded"] > 0
    assert urls(out) == kept
    assert CrawlDirectory.open_readonly(out).settings.filter == name


@pytest.mark.parametrize("mode", CALLED)
def test_a_filter_may_be_a_function_where_the_process_of_the_program_decides(
    web: StartedWeb, tmp_path: Path, mode: str, kept: set[str]
) -> None:
    seen: list[str] = []

    def keep(url: str) -> bool:
        seen.append(url)
        return callbacks.keep(url)

    crawler.crawl(*webs.seeds(web), out=tmp_path / "out", mode=mode, filter=keep, **keys(web))
    assert urls(tmp_path / "out") == kept
    assert set(seen) >= kept - set(webs.seeds(web))


def test_a_resume_with_another_filter_is_refused(web: StartedWeb, tmp_path: Path) -> None:
    out = tmp_path / "out"
    crawler.crawl(*webs.seeds(web), out=out, max_pages=5, filter=callbacks.keep, **keys(web))
    with pytest.raises(crawler.UsageError, match=r"begun with the filter tests\.contract\.callbacks:keep"):
        crawler.crawl(out=out, resume=True, filter=callbacks.refuse_url, **keys(web))
    crawler.crawl(*webs.seeds(web), out=tmp_path / "bare", max_pages=5, **keys(web))
    with pytest.raises(crawler.UsageError, match="begun with no filter"):
        crawler.crawl(out=tmp_path / "bare", resume=True, filter=callbacks.keep, **keys(web))


def test_a_repair_owes_only_what_the_filter_admits(web: StartedWeb, tmp_path: Path, kept: set[str]) -> None:
    out = tmp_path / "out"
    crawler.crawl(*webs.seeds(web), out=out, filter=callbacks.keep, **keys(web))
    (out / "shard-0000" / "frontier.sqlite").unlink()
    with closing(CrawlDirectory.open(out)) as directory:
        assert repair(directory).recovered > 0
    crawler.crawl(out=out, resume=True, **keys(web))
    assert urls(out) == kept


# ---- callbacks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CALLED)
def test_functions_are_told_of_every_page_failure_and_of_the_progress(
    web: StartedWeb, tmp_path: Path, mode: str
) -> None:
    pages: list[crawler.Page] = []
    failures: list[crawler.FailedUrl] = []
    progress: list[crawler.CrawlProgress] = []
    summary = crawler.crawl(
        *webs.seeds(web),
        out=tmp_path / "out",
        mode=mode,
        on_page=pages.append,
        on_error=failures.append,
        on_progress=progress.append,
        **keys(web),
    )
    assert sorted(page.url for page in pages) == sorted(PAGES)
    assert sum(len(page.body) for page in pages) == summary.bytes
    assert {failure.url for failure in failures} == FAILED
    assert len(failures) == len(FAILED)
    assert (progress[-1].settled, progress[-1].queued) == (len(webs.EXPECTED), 0)
    assert progress[-1].pages == len(PAGES)


@pytest.mark.parametrize("mode", variants.names())
def test_names_are_told_of_every_page_and_failure_in_every_mode(
    web: StartedWeb, tmp_path: Path, mode: str, log: Path
) -> None:
    program = (
        "import sys, crawler\n"
        "if __name__ == '__main__':\n"
        f"    crawler.crawl(*{webs.seeds(web)!r}, out={str(tmp_path / 'out')!r}, mode={mode!r},"
        f" on_page='{HERE}:note_page', on_error='{HERE}:note_error', **{keys(web)!r})\n"
    )
    (tmp_path / "program.py").write_text(program)
    subprocess.run([sys.executable, tmp_path / "program.py"], check=True, timeout=120)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert sorted(url for kind, url, *_ in lines if kind == "page") == sorted(PAGES)
    assert {url for kind, url, *_ in lines if kind == "error"} == FAILED


@pytest.mark.parametrize("mode", variants.names())
def test_a_callback_that_raises_stops_the_crawl_and_loses_nothing(web: StartedWeb, tmp_path: Path, mode: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(crawler.CallbackError, match="on_page raised ValueError: no room for http") as caught:
        crawler.crawl(*webs.seeds(web), out=out, mode=mode, on_page=f"{HERE}:refuse", **keys(web))
    assert mode == "prefork" or isinstance(caught.value.__cause__, ValueError)
    assert crawler.crawl(out=out, mode=mode, resume=True, **keys(web)).digest == webs.DIGEST


@pytest.mark.parametrize("mode", variants.names())
def test_a_filter_that_raises_stops_the_crawl_and_names_its_error(web: StartedWeb, tmp_path: Path, mode: str) -> None:
    with pytest.raises(crawler.CallbackError, match="filter raised KeyError"):
        crawler.crawl(*webs.seeds(web), out=tmp_path / "out", mode=mode, filter=f"{HERE}:refuse_url", **keys(web))


def test_progress_that_raises_stops_the_shards(web: StartedWeb, tmp_path: Path) -> None:
    def stop(progress: crawler.CrawlProgress) -> None:
        raise RuntimeError("enough")

    with pytest.raises(crawler.CallbackError, match="on_progress raised RuntimeError: enough"):
        crawler.crawl(*webs.seeds(web), out=tmp_path / "out", mode="prefork", on_progress=stop, **keys(web))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{HERE}:kepe", "has no function 'kepe'; did you mean 'keep'?"),
        (f"{HERE}:zzz", r"it has: keep, note_error, note_page, refuse, refuse_url\)"),
        ("no_such_module:keep", "cannot import no_such_module"),
        ("keep", "expected module:name"),
        (f"{HERE}:LOG", "has no function 'LOG'"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_before_anything_is_made(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(crawler.UsageError, match=said):
        crawler.crawl("http://a.test/", out=tmp_path / "out", on_page=name)
    assert not (tmp_path / "out").exists()


def test_prefork_wants_names(tmp_path: Path) -> None:
    with pytest.raises(crawler.UsageError, match=r"on_page='tests\.contract\.callbacks:note_page'"):
        crawler.crawl("http://a.test/", out=tmp_path / "out", mode="prefork", on_page=callbacks.note_page)


@pytest.mark.parametrize("function", [callbacks.keep, crawler.Settings, Path.exists])
def test_the_name_of_a_function_leads_to_it(function: Callable[..., object]) -> None:
    assert find_function("filter", function_name(function)) is function


# ---- acrawl ----------------------------------------------------------------------------------------------------------


async def test_acrawl_of_a_dead_host_has_a_failure_and_a_summary() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    dead = crawler.acrawl(url, attempts=1, host_patience=0.1, delay=0)
    assert dead.summary is None
    assert [page async for page in dead] == []
    assert [(failure.url, failure.trouble) for failure in dead.failures] == [(url, True)]
    assert dead.summary is not None
    assert dead.summary.ending == "failed"


async def test_acrawl_keeps_no_more_failures_than_the_most(web: StartedWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.api.MOST_FAILURES", 2)
    async with crawler.acrawl(*webs.seeds(web), **keys(web)) as pages:
        async for _ in pages:
            pass
    assert len(FAILED) > len(pages.failures) == 2
    assert pages.summary is not None and pages.summary.digest == webs.DIGEST


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "directory"])
async def test_acrawl_ends_with_failures_and_the_summary_of_its_pages(
    web: StartedWeb, tmp_path: Path, kept: bool
) -> None:
    out: dict[str, Any] = {"out": tmp_path / "out"} if kept else {}
    async with crawler.acrawl(*webs.seeds(web), **out, **keys(web)) as pages:
        found = {page.url async for page in pages}
    assert {failure.url for failure in pages.failures} == FAILED
    assert pages.summary is not None
    assert (pages.summary.digest, pages.summary.pages) == (webs.DIGEST, len(found))
    assert pages.progress.settled == len(webs.EXPECTED)
    assert pages.progress.in_flight == 0


async def test_stop_ends_the_iteration_with_what_is_in_flight(web: StartedWeb, tmp_path: Path) -> None:
    pages = crawler.acrawl(*webs.seeds(web), out=tmp_path / "out", concurrency=4, **keys(web))
    found = 0
    async for _ in pages:
        found += 1
        if found == 10:
            pages.stop()
    assert pages.summary is not None
    assert (pages.summary.ending, pages.summary.pages) == ("stopped", found)
    assert 10 <= found < len(PAGES)


async def test_a_loop_that_is_left_has_a_summary_once_it_is_closed(web: StartedWeb) -> None:
    async with crawler.acrawl(*webs.seeds(web), **keys(web)) as pages:
        async for _ in pages:
            break
    assert pages.summary is not None
    assert pages.summary.ending == "stopped"
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_acrawl_calls_functions_too(web: StartedWeb) -> None:
    told: list[crawler.Page] = []
    pages = crawler.acrawl(*webs.seeds(web), filter=callbacks.keep, on_page=told.append, **keys(web))
    assert sorted([page.url async for page in pages]) == sorted(page.url for page in told)
    assert told


async def test_a_callback_that_raises_ends_the_iteration_with_that_error(web: StartedWeb) -> None:
    with pytest.raises(crawler.CallbackError, match="on_page raised ValueError"):
        async for _ in crawler.acrawl(*webs.seeds(web), on_page=callbacks.refuse, **keys(web)):
            pass
