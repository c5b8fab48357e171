"""Assembles a run: a recorder on its frontier, the job, and its limiters.

`execute`, `acrawl` and each shard of a crawl start here, so all have the same parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from crawler.core.messages import Actions, Event
from crawler.core.shards.shard import Shard
from crawler.metrics.process_tree import Meter
from crawler.runtime.callbacks import Callbacks, ProgressNotifier, callbacks_of, failures_of
from crawler.runtime.job import Job
from crawler.runtime.limits import install_limiters
from crawler.runtime.memory_plan import Shares
from crawler.runtime.page_stream import PageStream
from crawler.runtime.recorder import Recorder
from crawler.settings import Settings
from crawler.storage.frontier.base import Frontier
from crawler.storage.opening import open_pages
from crawler.storage.pages.base import Page, Writer
from crawler.system.threads import thread_errors


def assemble(
    settings: Settings,
    seed: int,
    frontier: Frontier,
    open_writer: Callable[[str], Writer],
    shares: Shares,
    *,
    to_unix: float | None = None,
    number: int = 1,
    folder: Path | None = None,
    shard: Shard | None = None,
    incarnation: int = 0,
    verdicts: Sequence[Event] = (),
    worker_shares: Shares | None = None,
    callbacks: Callbacks | None = None,
) -> Job:
    """A job and its recorder, see Job. `shares` bounds what both keep in memory; `to_unix` is the offset from the clock
    of the crawl to Unix time, in seconds (None: that of now). `callbacks` None: those that the settings name; a shard
    leaves the progress to the process that watches all. Raises UsageError.
    """
    callbacks = callbacks_of(settings) if callbacks is None else callbacks
    recorder = Recorder(frontier, seed, settings.disk_wait, shares.bounds.marks, to_unix)
    if callbacks.on_page is not None:
        read = open_pages(settings, folder, seed, settings.disk_wait).read if folder else None
        pages = PageStream(open_writer, read)
        open_writer = pages.writer
        recorder.observe(_page_observer(pages, callbacks.on_page))
    if (on_error := callbacks.on_error) is not None:
        recorder.observe(lambda actions: [on_error(failure) for failure in failures_of(actions)])
    job = Job(
        settings,
        seed,
        recorder,
        open_writer,
        number,
        folder,
        shard,
        incarnation,
        verdicts,
        shares=shares,
        worker_shares=shares if worker_shares is None else worker_shares,
    )
    job.scope.url_filter = callbacks.filter
    if callbacks.on_progress is not None and shard is None:
        job.track_in_flight()
        notifier = ProgressNotifier(callbacks.on_progress, job.stats, job.in_flight)
        recorder.observe(lambda actions: notifier.notify(last=actions.ending is not None))
    return job


def _page_observer(pages: PageStream, on_page: Callable[[Page], object]) -> Callable[[Actions], None]:
    """An observer that calls `on_page` for each page that settles."""

    def tell(actions: Actions) -> None:
        pages.observe(actions)
        while pages.pages:
            on_page(pages.pages.popleft())

    return tell


@contextmanager
def limited(job: Job) -> Iterator[Meter]:
    """Context manager: limit the memory and disk of a job and meter its costs. Raises WorkersLost or OutOfMemory where
    no thread can be started."""
    with thread_errors():
        on_sample = install_limiters(job)
    with metered(on_sample) as meter:
        yield meter


@contextmanager
def metered(on_sample: Callable[[int], None] = lambda memory: None) -> Iterator[Meter]:
    """Context manager: meter the costs of a run, see Meter. Raises as `limited`."""
    with thread_errors():
        meter = Meter(on_sample)
    try:
        yield meter
    finally:
        meter.stop()
