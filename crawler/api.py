"""The Python API: `crawl` blocks and runs any mode, `acrawl` yields pages on the running event loop.

import crawler

if __name__ == "__main__":  # modes that start processes import the main module again
    summary = crawler.crawl("https://example.org/", out="crawls/example", mode="threads")

async for page in crawler.acrawl("https://example.org/", max_pages=100):
    print(page.url, page.status, len(page.body))
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing, closing, suppress
from pathlib import Path
from typing import Any

from crawler.core.bounds import PLENTY
from crawler.core.messages import Actions, Stop
from crawler.errors import UsageError
from crawler.fetch import check_client
from crawler.metrics.summary import Summary
from crawler.run import execute, final_cleanup, job_of, kept_settings, open_directory, prepare, report
from crawler.runtime.assembly import assemble, limited
from crawler.runtime.job import Job
from crawler.runtime.page_stream import PageStream
from crawler.settings import Settings, check_authority, merge_layers, open_scope, profile, refuse_unknown
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.memory import MemoryFrontier
from crawler.storage.pages.base import Page
from crawler.storage.reopening import Wanted, check_names


def crawl(
    *seeds: str,
    out: str | Path,
    resume: bool = False,
    fresh: bool = False,
    use: str | None = None,
    retry_failed: bool = False,
    retry_reasons: Sequence[str] = (),
    **keys: Any,
) -> Summary:
    """Crawl into the directory `out`, in any mode, and return the summary.

    `use` names a profile ("polite", "fast"); `keys` are configuration keys. `resume` continues an existing crawl (of
    the same seeds, which may be left out) and starts one where there is none; `fresh` replaces it. Resuming a finished
    crawl fetches again the URLs that failed, or those that ended with one of `retry_reasons`; `retry_failed` does so in
    an unfinished crawl, too. Raises UsageError, StorageError, WorkersLost.
    """
    import variants

    wanted = Wanted(retry_failed, tuple(retry_reasons))
    check_names(wanted.reasons)
    there = Path(out)
    going_on = resume and CrawlDirectory.exists(there)
    settings = _settings(seeds, use, keys, needed=not going_on)
    if (settings.mode == "async" or variants.is_sharded(settings)) and _loop_is_running():
        raise UsageError("crawl() blocks and an event loop is running in this thread; use `async for` over acrawl()")
    directory = open_directory(there, settings, resume=resume, fresh=fresh, demo=False)
    with closing(directory):
        if going_on:
            _refuse_other_seeds(directory, settings)
        return execute(directory, kept_settings(directory, settings, wanted), wanted=wanted)


async def acrawl(
    *seeds: str, out: str | Path | None = None, use: str | None = None, **keys: Any
) -> AsyncGenerator[Page, None]:
    """Crawl on the running event loop and yield each stored page once, when its URL is settled.

    Without `out` nothing is written to disk. With it the pages are also stored there, and an unfinished crawl in that
    directory is resumed. Pages that are settled but not consumed when the generator is closed stay on disk and are not
    yielded again. A slow consumer slows the crawl. To end the crawl early close the generator, or use
    `contextlib.aclosing`. Raises UsageError, StorageError.
    """
    if keys.setdefault("mode", "async") != "async":
        raise UsageError("acrawl() runs on the event loop that is running: mode 'async' only; crawl() runs any mode")
    settings = _settings(seeds, use, keys, needed=out is None or not CrawlDirectory.exists(Path(out)))
    async with AsyncExitStack() as stack:
        job, tap = _in_memory(settings) if out is None else _in_directory(Path(out), settings, stack)
        stack.enter_context(limited(job))
        pages = await stack.enter_async_context(aclosing(_pages(job, tap)))
        async for page in pages:
            yield page


def _in_memory(settings: Settings) -> tuple[Job, PageStream]:
    import variants

    settings, plan = variants.fit(settings)
    tap = PageStream()
    return assemble(settings, secrets.randbits(63), MemoryFrontier(), tap.writer, plan.own), tap


def _in_directory(path: Path, settings: Settings, stack: AsyncExitStack) -> tuple[Job, PageStream]:
    import variants

    directory = stack.enter_context(closing(open_directory(path, settings, resume=True, fresh=False, demo=False)))
    _refuse_other_seeds(directory, settings)
    settings = kept_settings(directory, settings)
    asked, (settings, plan) = settings, variants.fit(settings)
    store, _ = prepare(directory, settings, shards=1)
    frontier = stack.enter_context(closing(directory.frontier()))
    run = directory.begin_run(asked, frontier)
    tap = PageStream(store.writer)
    if settings.report:
        stack.push_async_callback(asyncio.to_thread, report, directory, variants.client_of(settings))
    job = job_of(directory, settings, plan, run, frontier, tap.writer)
    stack.callback(lambda: job.ran and directory.end_run(job.ran))
    stack.callback(final_cleanup, store, frontier, job.recorder, run)
    return job, tap


async def _pages(job: Job, tap: PageStream) -> AsyncGenerator[Page, None]:
    from variants.async_loop import arun

    news = asyncio.Event()

    def tell(actions: Actions) -> None:
        tap.observe(actions)
        if tap.pages:
            news.set()

    job.recorder.observe(tell)
    job.recorder.add_limiter(lambda: 0 if tap.full() else PLENTY)
    engine = asyncio.create_task(arun(job))
    engine.add_done_callback(lambda _: news.set())
    try:
        while not engine.done() or tap.pages:
            if not tap.pages:
                news.clear()
                await news.wait()
            while tap.pages:
                yield tap.pages.popleft()
                job.wake()
        job.ran = await engine
    finally:
        job.post(Stop())
        engine.cancel()
        while not engine.done():  # a second cancellation must not close the files under the engine
            with suppress(asyncio.CancelledError):
                await asyncio.wait({engine})


def _refuse_other_seeds(directory: CrawlDirectory, settings: Settings) -> None:
    kept = directory.settings.seeds
    if settings.seeds and set(settings.seeds) != set(kept):
        raise UsageError(
            f"{directory.path} is a crawl of {', '.join(kept[:3])}; name the same seeds, none, or another out"
        )


def _settings(seeds: tuple[str, ...], use: str | None, keys: dict[str, Any], needed: bool = True) -> Settings:
    import variants

    refuse_unknown(keys, "the arguments")
    settings = merge_layers(profile(use) if use else {}, keys, {"seeds": seeds} if seeds else {})
    if needed and not settings.seeds:
        raise UsageError("nothing to crawl: name at least one URL")
    check_client(variants.client_of(settings))
    variants.check_loop(settings.mode, settings.loop)
    variants.fit(settings)
    open_scope(settings)
    check_authority(settings)
    return settings


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
