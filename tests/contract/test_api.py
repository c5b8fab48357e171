"""The crawler as a library: blocking in any mode, and as an async generator inside a running loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import crawler
import variants
from crawler.storage.directory import CrawlDirectory, come_to
from crawler.testweb.process import StartedWeb, start_web
from tests.contract import webs


@pytest.fixture(scope="module")
def web() -> Iterator[StartedWeb]:
    with start_web(hosts=webs.HOSTS, pages=webs.PAGES) as started:
        yield started


def test_every_public_name_can_be_imported_from_the_package() -> None:
    assert {name: getattr(crawler, name).__name__ for name in crawler.__all__} == {
        name: name for name in crawler.__all__
    }
    assert set(crawler.__all__) <= set(dir(crawler)), "an editor offers what dir() tells"
    with pytest.raises(AttributeError):
        _ = crawler.Craw


def keys(web: StartedWeb) -> dict[str, Any]:
    return {
        "resolve": web.settings.resolve,
        "attempt_header": web.settings.attempt_header,
        "delay": webs.DELAY,
        "backoff": 0.05,
        "robots_backoff": 0.02,
        "host_patience": 0.3,
        "timeout": 5.0,
    }


PAGES = {url for url, end in webs.EXPECTED.items() if end.stored}


@pytest.mark.parametrize("mode", variants.names())
def test_crawl_blocks_and_returns_the_summary(web: StartedWeb, tmp_path: Path, mode: str) -> None:
    summary = crawler.crawl(*webs.seeds(web), out=tmp_path / "out", mode=mode, concurrency=16, **keys(web))
    assert (summary.digest, summary.owed, summary.out) == (webs.DIGEST, 0, str(tmp_path / "out"))
    again = crawler.crawl(*webs.seeds(web), out=tmp_path / "out", resume=True, mode=mode, **keys(web))
    assert (again.digest, again.asked_again) == (webs.DIGEST, summary.incomplete_because)
    with pytest.raises(crawler.UsageError, match="no-reason"):
        crawler.crawl(out=tmp_path / "out", resume=True, retry_reasons=["no-reason"])
    with pytest.raises(crawler.UsageError, match="--resume"):
        crawler.crawl(*webs.seeds(web), out=tmp_path / "out", mode=mode, **keys(web))


async def test_acrawl_yields_each_page_once_and_needs_no_directory(web: StartedWeb) -> None:
    urls = [page.url async for page in crawler.acrawl(*webs.seeds(web), **keys(web))]
    assert len(urls) == len(set(urls))
    assert set(urls) == PAGES


async def test_acrawl_stores_the_pages_in_the_directory_given(web: StartedWeb, tmp_path: Path) -> None:
    urls = {page.url async for page in crawler.acrawl(*webs.seeds(web), out=tmp_path / "out", **keys(web))}
    assert urls == PAGES
    assert {row.url for row in webs.rows(tmp_path / "out").values() if row.part} == PAGES


async def test_a_page_of_acrawl_has_the_depth_that_the_frontier_has(web: StartedWeb, tmp_path: Path) -> None:
    depths = {
        page.url: page.depth async for page in crawler.acrawl(*webs.seeds(web), out=tmp_path / "out", **keys(web))
    }
    assert depths == {row.url: row.depth for row in webs.rows(tmp_path / "out").values() if row.part}
    assert len(set(depths.values())) > 1


async def test_acrawl_records_its_ending_and_a_resume_retries_missed_urls(web: StartedWeb, tmp_path: Path) -> None:
    async for _ in crawler.acrawl(*webs.seeds(web), out=tmp_path / "out", max_pages=5, **keys(web)):
        pass
    assert CrawlDirectory.open_readonly(tmp_path / "out").manifest.ending == "limit"
    async for _ in crawler.acrawl(out=tmp_path / "out", **keys(web)):
        pass
    first = CrawlDirectory.open_readonly(tmp_path / "out")
    assert first.manifest.ending == "incomplete"
    async for _ in crawler.acrawl(out=tmp_path / "out", **keys(web)):
        pass
    again = CrawlDirectory.open_readonly(tmp_path / "out")
    assert (again.tally().digest, again.manifest.runs) == (webs.DIGEST, first.manifest.runs + 1)


async def test_leaving_the_loop_ends_the_crawl_and_the_next_one_goes_on(web: StartedWeb, tmp_path: Path) -> None:
    first: set[str] = set()
    async with aclosing(crawler.acrawl(*webs.seeds(web), out=tmp_path / "out", **keys(web))) as pages:
        async for page in pages:
            first.add(page.url)
            if len(first) == 20:
                break
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    second = {page.url async for page in crawler.acrawl(*webs.seeds(web), out=tmp_path / "out", **keys(web))}
    assert not first & second, "a page was yielded twice"
    assert {row.url for row in webs.rows(tmp_path / "out").values() if row.part} == PAGES


async def test_acrawl_refuses_a_damaged_crawl_before_any_request(web: StartedWeb, tmp_path: Path) -> None:
    out = tmp_path / "out"
    async for _ in crawler.acrawl(*webs.seeds(web), out=out, max_pages=5, **keys(web)):
        pass
    with closing(sqlite3.connect(out / "shard-0000" / "frontier.sqlite")) as connection, connection:
        connection.execute("DELETE FROM url WHERE id = 2")
    with pytest.raises(crawler.StorageError, match="repair"):
        async for _ in crawler.acrawl(out=out, **keys(web)):
            pytest.fail("a page was yielded")


def test_a_resume_needs_no_seeds_and_refuses_others(web: StartedWeb, tmp_path: Path) -> None:
    first = crawler.crawl(*webs.seeds(web), out=tmp_path / "out", max_pages=10, **keys(web))
    assert first.ending == "limit"
    with pytest.raises(crawler.UsageError, match="is a crawl of"):
        crawler.crawl("http://elsewhere.test/", out=tmp_path / "out", resume=True, **keys(web))
    assert crawler.crawl(out=tmp_path / "out", resume=True, **keys(web)).digest == webs.DIGEST
    assert crawler.crawl(*webs.seeds(web), out=tmp_path / "out", resume=True, **keys(web)).over
    with pytest.raises(crawler.UsageError, match="began with another max_body"):
        crawler.crawl(out=tmp_path / "out", resume=True, max_body=5, **keys(web))


@pytest.mark.parametrize("mode", variants.names())
def test_added_seeds_end_as_if_they_had_been_there_at_first(web: StartedWeb, tmp_path: Path, mode: str) -> None:
    first, *others = webs.seeds(web)
    out, options = tmp_path / "out", {"mode": mode, "scope": "host", "processes": 2, **keys(web)}
    begun = crawler.crawl(first, out=out, **options)
    assert begun.over
    assert begun.digest != webs.DIGEST
    summary = crawler.crawl(*others, out=out, resume=True, add_seeds=True, **options)
    assert summary.digest == webs.DIGEST


def test_seeds_that_a_killed_run_was_to_add_are_admitted_by_the_next(web: StartedWeb, tmp_path: Path) -> None:
    first, *others = webs.seeds(web)
    out, options = tmp_path / "out", {"scope": "host", **keys(web)}
    begun = crawler.crawl(first, out=out, **options)
    with closing(CrawlDirectory.open(out)) as directory:
        directory.begin_run(replace(directory.settings, seeds=(first, *others)))  # and is killed here
        assert come_to(directory.manifest, directory.tally()) is None
    summary = crawler.crawl(out=out, resume=True, **options)
    assert summary.over
    assert summary.urls > begun.urls
    assert not CrawlDirectory.open_readonly(out).manifest.adding


async def test_acrawl_obeys_the_limits_of_disk_and_memory(
    web: StartedWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(crawler.StorageError, match="the reserve"):
        async for _ in crawler.acrawl(*webs.seeds(web), out=tmp_path / "out", disk_reserve=10**18, **keys(web)):
            pass
    with pytest.raises(crawler.UsageError, match="is less than async needs"):
        async for _ in crawler.acrawl(*webs.seeds(web), max_memory="1M", **keys(web)):
            pass
    monkeypatch.setattr("crawler.runtime.memory_limit.SLOW_AT", 0.0001)
    monkeypatch.setattr("crawler.runtime.memory_limit.STOP_AT", 0.0002)
    async for _ in crawler.acrawl(*webs.seeds(web), out=tmp_path / "slowed", max_pages=40, **keys(web)):
        pass
    pauses = CrawlDirectory.open_readonly(tmp_path / "slowed").tally().pauses
    assert pauses["memory"] > 0, "it did not pause above the memory limit"


async def test_acrawl_leaves_a_crawl_that_it_refuses_unchanged(web: StartedWeb, tmp_path: Path) -> None:
    out, seeds = tmp_path / "out", webs.seeds(web)
    limit: dict[str, Any] = {"mode": "prefork", "processes": 2, "max_pages": 20}
    await asyncio.to_thread(crawler.crawl, *seeds, out=out, **limit, **keys(web))
    with pytest.raises(crawler.UsageError, match=r"is a crawl of .* and 12 more"):
        async for _ in crawler.acrawl("http://other.test/", out=out, **keys(web)):
            pass
    assert len(list(out.glob("shard-*"))) == 2


async def test_a_slow_consumer_slows_the_crawl(web: StartedWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.runtime.page_stream.MAX_WAITING", 5)
    held: list[int] = []
    async with aclosing(crawler.acrawl(*webs.seeds(web), concurrency=4, **keys(web))) as pages:
        async for _ in pages:
            await asyncio.sleep(0.02)
            held.append(pages._crawling.stream.full())
            if len(held) == 30:
                break
    assert any(held), "the queue was never full, so the test shows nothing"


@pytest.mark.parametrize("mode", ["async", "prefork"])
async def test_crawl_inside_a_running_loop_is_refused_with_a_hint(web: StartedWeb, tmp_path: Path, mode: str) -> None:
    with pytest.raises(crawler.UsageError, match="acrawl"):
        crawler.crawl(*webs.seeds(web), out=tmp_path / "out", mode=mode, **keys(web))


async def test_acrawl_accepts_mode_async_only() -> None:
    with pytest.raises(crawler.UsageError, match="mode 'async' only"):
        async for _ in crawler.acrawl("http://a.test/", mode="threads"):
            raise AssertionError("it must not start")


def test_bad_arguments_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    for seeds, wrong, message in (
        ((), {}, "nothing to crawl"),
        (("http://a.test/",), {"dealy": 1}, "did you mean 'delay'"),
        (("http://a.test/",), {"concurrency": 0}, "concurrency"),
        (("ftp://a.test/",), {}, "ftp"),
        (("http://a.test/",), {"mode": "fibers"}, "unknown mode"),
    ):
        with pytest.raises(crawler.UsageError, match=message):
            crawler.crawl(*seeds, out=tmp_path / "out", **wrong)
        assert not (tmp_path / "out").exists(), message


def test_importing_the_package_imports_no_engine() -> None:
    import subprocess
    import sys

    heavy = ("aiohttp", "pycurl", "rich", "structlog", "click")
    code = f"import sys, crawler; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
