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
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, closing, suppress
from pathlib import Path
from typing import Any

from crawler.core.bounds import PLENTY
from crawler.core.messages import Actions, Stop
from crawler.core.reasons import Ending
from crawler.errors import UsageError
from crawler.fetch import check_client
from crawler.metrics.counters import InFlight, RunStats, Tally
from crawler.metrics.process_tree import Meter
from crawler.metrics.summary import Summary, judge, summarise
from crawler.run import execute, final_cleanup, job_of, kept_settings, open_directory, open_next, prepare, report
from crawler.runtime.assembly import assemble, limited
from crawler.runtime.callbacks import Callbacks, CrawlProgress, FailedUrl, callbacks_of, failures_of, progress_of
from crawler.runtime.job import Job
from crawler.runtime.page_stream import PageStream
from crawler.settings import (
    Settings,
    check_authority,
    function_name,
    merge_layers,
    open_scope,
    profile,
    refuse_unknown,
)
from crawler.storage.directory import ACCESS_KEYS, IMMUTABLE_KEYS, CrawlDirectory
from crawler.storage.frontier.memory import MemoryFrontier
from crawler.storage.generations import last_of
from crawler.storage.manifest import RunCost
from crawler.storage.opening import check_packages
from crawler.storage.pages.base import Page
from crawler.storage.reopening import Wanted, check_names

Filter = Callable[[str], bool] | str
OnPage = Callable[[Page], object] | str
OnError = Callable[[FailedUrl], object] | str
OnProgress = Callable[[CrawlProgress], object] | str
MOST_FAILURES = 10_000


def crawl(
    *seeds: str,
    out: str | Path,
    resume: bool = False,
    fresh: bool = False,
    use: str | None = None,
    retry_failed: bool = False,
    retry_reasons: Sequence[str] = (),
    add_seeds: bool = False,
    filter: Filter | None = None,
    on_page: OnPage | None = None,
    on_error: OnError | None = None,
    on_progress: OnProgress | None = None,
    **keys: Any,
) -> Summary:
    """Crawl into the directory `out`, in any mode, and return the summary.

    `use` names a profile ("polite", "fast"); `keys` are configuration keys. `resume` continues an existing crawl (of
    the same seeds, which may be left out; `add_seeds` adds others) and starts one where there is none; `fresh` replaces
    it. Keys that decide the scope or the store may be left out too, and cannot change. Resuming a finished
    crawl fetches again the URLs that failed, or those that ended with one of `retry_reasons`; `retry_failed` does so in
    an unfinished crawl, too.

    `filter` decides on each URL that is found, True to crawl it; the others are called for pages,
    failures and progress, see crawler/runtime/callbacks.py. Each is a function or its name, "module:name"; in mode
    "prefork" or "ray", where other processes call all but `on_progress`, its name. Raises UsageError, StorageError,
    WorkersLost, CallbackError.
    """

    wanted = Wanted(retry_failed, tuple(retry_reasons), add_seeds)
    check_names(wanted.reasons)
    there = Path(out)
    going_on = resume and CrawlDirectory.exists(there)
    callbacks = _callbacks(keys, filter=filter, on_page=on_page, on_error=on_error, on_progress=on_progress)
    settings = _settings(seeds, use, keys, callbacks, there if going_on else None)
    _refuse_loop(settings)
    directory = open_directory(there, settings, resume=resume, fresh=fresh, demo=False)
    with closing(directory):
        return execute(directory, kept_settings(directory, settings, wanted), wanted=wanted, callbacks=callbacks)


def recrawl(
    out: str | Path,
    *,
    use: str | None = None,
    on_page: OnPage | None = None,
    on_error: OnError | None = None,
    on_progress: OnProgress | None = None,
    **keys: Any,
) -> Summary:
    """Crawl again what the directory `out` has, as its next generation, and return the summary.

    Every setting is that of the last generation, but for the profile `use` and the `keys` that are given. A generation
    that was killed or stopped is continued. The functions are those of `crawl`. Raises UsageError, StorageError,
    WorkersLost, CallbackError.
    """
    there = Path(out)
    last = CrawlDirectory.open_readonly(last_of(there))
    if last.manifest.demo:
        raise UsageError(f"{there} is a crawl of the built-in test web: use the command recrawl")
    callbacks = _callbacks(keys, on_page=on_page, on_error=on_error, on_progress=on_progress)
    refuse_unknown(keys, "the arguments")
    began = {key: value for key, value in last.manifest.settings.items() if key != "client" or "mode" not in keys}
    settings = merge_layers(began, profile(use) if use else {}, keys)
    _check(settings, callbacks)
    _refuse_loop(settings)
    settings = kept_settings(last, settings, fetches=True)
    with closing(open_next(there, settings)) as directory:
        return execute(directory, settings, callbacks=callbacks)


def acrawl(
    *seeds: str,
    out: str | Path | None = None,
    use: str | None = None,
    filter: Filter | None = None,
    on_page: OnPage | None = None,
    on_error: OnError | None = None,
    on_progress: OnProgress | None = None,
    add_seeds: bool = False,
    **keys: Any,
) -> AsyncCrawl:
    """Crawl on the running event loop: iterate over what it returns to get each stored page once, when its URL is
    settled.

    Without `out` nothing is written to disk. With it the pages are also stored there, and an unfinished crawl in that
    directory is resumed (`add_seeds` adds seeds to it). Pages that are settled but not consumed when the crawl is
    closed stay on disk and are not yielded again. A slow consumer slows the crawl. The functions are those of `crawl`.
    Raises UsageError; the iteration raises UsageError, StorageError, CallbackError.
    """
    if keys.setdefault("mode", "async") != "async":
        raise UsageError("acrawl() runs on the event loop that is running: mode 'async' only; crawl() runs any mode")
    callbacks = _callbacks(keys, filter=filter, on_page=on_page, on_error=on_error, on_progress=on_progress)
    path = None if out is None else Path(out)
    settings = _settings(seeds, use, keys, callbacks, path if path and CrawlDirectory.exists(path) else None)
    return AsyncCrawl(_Crawling(settings, path, callbacks, Wanted(seeds=add_seeds)))


class AsyncCrawl:
    """A crawl on the running event loop: an asynchronous iterator over its pages, and a context manager that ends it.

    It begins with the first page that is asked for.
    """

    def __init__(self, crawling: _Crawling) -> None:
        self._crawling = crawling
        self._pages = crawling.pages()

    def __aiter__(self) -> AsyncCrawl:
        return self

    async def __anext__(self) -> Page:
        return await self._pages.__anext__()

    async def __aenter__(self) -> AsyncCrawl:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the crawl at once, and wait until all it has settled is stored. Raises StorageError."""
        await self._pages.aclose()

    def stop(self) -> None:
        """Start no more fetches. The iteration goes on with the pages that are in flight, and ends."""
        self._crawling.stop()

    @property
    def failures(self) -> tuple[FailedUrl, ...]:
        """The URLs that have ended without their page so far: the first MOST_FAILURES. `summary` counts all."""
        return tuple(self._crawling.failures)

    @property
    def progress(self) -> CrawlProgress:
        """Where the crawl stands."""
        return self._crawling.progress

    @property
    def summary(self) -> Summary | None:
        """The summary; None until the crawl has ended, and where it ended with an error."""
        return self._crawling.summary


class _Crawling:
    """What an AsyncCrawl shares with its generator. The generator must not refer to the AsyncCrawl: so one that is
    dropped in the middle is freed at once, which closes the generator."""

    def __init__(self, settings: Settings, path: Path | None, callbacks: Callbacks, wanted: Wanted) -> None:
        self.failures: list[FailedUrl] = []
        self.summary: Summary | None = None
        self.stream = PageStream()
        self._settings = settings
        self._path = path
        self._callbacks = callbacks
        self._wanted = wanted
        self._job: Job | None = None
        self._meter: Meter | None = None
        self._stopped = False

    def stop(self) -> None:
        """Stop, or do not begin."""
        self._stopped = True
        if self._job is not None:
            self._job.post(Stop())

    @property
    def progress(self) -> CrawlProgress:
        """Where the crawl stands."""
        return progress_of(self._job.stats, self._job.in_flight) if self._job else progress_of(RunStats(), InFlight())

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Crawl, and yield the pages."""
        async with AsyncExitStack() as stack:
            job, tally = self._in_memory() if self._path is None else self._in_directory(self._path, stack)
            self._job = job
            job.track_in_flight()
            job.recorder.observe(self._note_failures)
            meter = self._meter = stack.enter_context(limited(job))

            def conclude(kind: type[BaseException] | None, error: object, at: object) -> None:
                if kind is None or kind is GeneratorExit:  # not after an error, which a summary might hide
                    self._summarise(job, tally, meter)

            stack.push(conclude)
            if self._stopped:
                job.post(Stop())
            pages = await stack.enter_async_context(aclosing(_pages(job, self.stream)))
            async for page in pages:
                yield page

    def _note_failures(self, actions: Actions) -> None:
        if (room := MOST_FAILURES - len(self.failures)) > 0:
            self.failures += failures_of(actions)[:room]

    def _summarise(self, job: Job, tally: Callable[[], Tally], meter: Meter) -> None:
        import variants

        stats = job.stats
        self.summary = summarise(
            tally(),
            out=None if self._path is None else str(self._path),
            mode=job.settings.mode,
            client=variants.client_of(job.settings),
            ran=job.ran or Ending.STOPPED,
            stats=stats,
            seconds=stats.seconds,
            cpu_seconds=meter.cpu_seconds,
            peak_memory_bytes=meter.peak_memory,
        )
        judge(self.summary, job.settings.fail_on)

    def _cost(self, job: Job, run: int) -> RunCost:
        import variants

        assert self._meter is not None
        mode, client = job.settings.mode, variants.client_of(job.settings)
        return RunCost(run, mode, client, self._meter.cpu_seconds, self._meter.peak_memory)

    def _in_memory(self) -> tuple[Job, Callable[[], Tally]]:
        import variants

        settings, plan = variants.fit(self._settings)
        frontier, seed = MemoryFrontier(), secrets.randbits(63)
        found = callbacks_of(settings, self._callbacks)
        return assemble(settings, seed, frontier, self.stream.writer, plan.own, callbacks=found), frontier.tally

    def _in_directory(self, path: Path, stack: AsyncExitStack) -> tuple[Job, Callable[[], Tally]]:
        import variants

        directory = open_directory(path, self._settings, resume=True, fresh=False, demo=False)
        stack.enter_context(closing(directory))
        settings = kept_settings(directory, self._settings, self._wanted)
        found = callbacks_of(settings, self._callbacks)
        asked, (settings, plan) = settings, variants.fit(settings)
        store, _ = prepare(directory, settings, shards=1)
        frontier = stack.enter_context(closing(directory.frontier()))
        run = directory.begin_run(asked, frontier)
        self.stream = PageStream(store.writer, store.read)
        if settings.report:
            stack.push_async_callback(asyncio.to_thread, report, directory, variants.client_of(settings))
        job = job_of(directory, settings, plan, run, frontier, self.stream.writer, found)
        stack.callback(lambda: job.ran and directory.end_run(job.ran, self._cost(job, run)))
        stack.callback(final_cleanup, store, frontier, job.recorder, run)
        return job, frontier.tally


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


def _callbacks(keys: dict[str, Any], **given: Callable[..., Any] | str | None) -> Callbacks:
    """The functions that were given as such; the names of the others go into `keys`, and that of the filter always: the
    crawl keeps it."""
    keys |= {name: value for name, value in given.items() if isinstance(value, str)}
    functions = {name: value for name, value in given.items() if callable(value)}
    if "filter" in functions:
        keys["filter"] = function_name(functions["filter"])
    return Callbacks(**functions)


def _settings(
    seeds: tuple[str, ...], use: str | None, keys: dict[str, Any], given: Callbacks, existing: Path | None
) -> Settings:
    """The checked settings of a crawl; of an `existing` one with all it cannot change but its seeds."""

    refuse_unknown(keys, "the arguments")
    began = CrawlDirectory.open_readonly(existing).manifest.settings if existing else {}
    kept = {key: began[key] for key in (*IMMUTABLE_KEYS, *ACCESS_KEYS) if key in began and key != "seeds"}
    settings = merge_layers(kept, profile(use) if use else {}, keys, {"seeds": seeds} if seeds else {})
    if not existing and not settings.seeds:
        raise UsageError("nothing to crawl: name at least one URL")
    _check(settings, given)
    return settings


def _check(settings: Settings, given: Callbacks) -> None:
    """Check what no layer can. Raises UsageError."""
    import variants

    check_client(variants.client_of(settings))
    variants.check_loop(settings.mode, settings.loop)
    variants.check_cluster(settings)
    variants.fit(settings)
    open_scope(settings)
    check_authority(settings)
    check_packages(settings)
    callbacks_of(settings, given)
    if variants.is_sharded(settings):
        _refuse_functions(given, settings.mode)


def _refuse_functions(given: Callbacks, mode: str) -> None:
    for name, function in given._asdict().items():
        if function is not None and name != "on_progress":
            named = function_name(function)
            raise UsageError(f"mode {mode!r} calls {name} in other processes: give its name, {name}={named!r}")


def _refuse_loop(settings: Settings) -> None:
    """Raises UsageError where a call that blocks would run its own event loop beside the one that is running."""
    import variants

    if (settings.mode == "async" or variants.is_sharded(settings)) and _loop_is_running():
        raise UsageError("crawl() blocks and an event loop is running in this thread; use `async for` over acrawl()")


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
