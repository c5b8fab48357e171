"""From settings to a finished run: opens the directory, cleans up after a kill, runs the engine, removes orphans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic

import msgspec

from crawler.core.reasons import Ending
from crawler.errors import Corrupt, StorageError, UsageError
from crawler.metrics.counters import RunStats, Tally
from crawler.metrics.process_tree import Meter
from crawler.metrics.summary import Summary, judge, summarise
from crawler.runtime.assembly import assemble, limited, metered
from crawler.runtime.callbacks import NO_CALLBACKS, Callbacks, ProgressNotifier, callbacks_of
from crawler.runtime.job import Job, Run
from crawler.runtime.memory_plan import MemoryPlan
from crawler.runtime.recorder import Recorder
from crawler.settings import Settings
from crawler.storage.database import retry_storage
from crawler.storage.directory import IMMUTABLE_KEYS, REPORT, CrawlDirectory
from crawler.storage.frontier.base import Frontier, FrontierReader
from crawler.storage.generations import generations, last_of, root_of
from crawler.storage.known_pages import catch_up, fix_choice, mark_unlinked
from crawler.storage.manifest import RunCost
from crawler.storage.pages.base import Store, Writer
from crawler.storage.reopening import Wanted, ask_again, asks_again
from crawler.storage.resharding import ensure_layout
from crawler.storage.retention import keep_last
from crawler.system.gc_tuning import reduced_gc
from crawler.system.logs import open_log
from crawler.system.threads import thread_errors

Watch = Callable[[Run], None]
OnReopened = Callable[[dict[str, int]], None]
NOTHING_MORE = Wanted()


def execute(
    directory: CrawlDirectory,
    settings: Settings,
    watch: Watch = lambda run: None,
    started_at: float | None = None,
    wanted: Wanted = NOTHING_MORE,
    on_reopened: OnReopened = lambda counts: None,
    callbacks: Callbacks = NO_CALLBACKS,
) -> Summary:
    """Crawl in a directory until it is complete, limited or stopped. A finished crawl fetches again what it has missed
    and what is `wanted`; where there is nothing to fetch only the summary is made.

    `on_reopened` is called with the number of reopened URLs by reason, `watch` with the run before it starts (to show
    progress and forward signals). `callbacks` that are not given are those that the settings name. Raises CrawlerError.
    """
    import variants

    started_at = monotonic() if started_at is None else started_at
    asked, (settings, plan) = settings, variants.fit(settings)
    callbacks = callbacks_of(settings, callbacks)
    client = variants.client_of(settings)
    shards = variants.shards_of(settings)
    store, again = retry_storage(lambda: prepare(directory, settings, shards, wanted), settings.disk_wait)
    if again:
        on_reopened(again)
    tally = directory.tally()
    if tally.queued and not tally.owed and not directory.adds_seeds(settings) and not directory.was_cut_short:
        return _summary_of_finished(directory, settings, tally, client)
    run_engine = _run_sharded if variants.is_sharded(settings) else _run_unsharded
    ran, stats, cpu_seconds, peak_memory = _run_rounds(
        directory, lambda: run_engine(directory, store, settings, asked, plan, watch, callbacks)
    )
    cost = RunCost(directory.manifest.runs, settings.mode, client, cpu_seconds, peak_memory)
    directory.end_run(ran, cost)
    if settings.report:
        report(directory, client, 0.0 if ran is Ending.STOPPED else stats.seconds)
    if settings.keep_generations:
        _drop_old(directory, settings.keep_generations)
    summary = summarise(
        directory.tally(),
        out=str(root_of(directory.path)),
        mode=settings.mode,
        client=client,
        ran=ran,
        stats=stats,
        seconds=stats.seconds,
        startup_seconds=stats.first_fetch_at - started_at if stats.first_fetch_at is not None else 0.0,
        cpu_seconds=cpu_seconds,
        peak_memory_bytes=peak_memory,
        asked_again=again,
        generation=directory.generation,
    )
    judge(summary, settings.fail_on)
    if settings.on_end and ran is not Ending.STOPPED:
        _call_end_hook(directory, settings.on_end, summary)
    return summary


def _summary_of_finished(directory: CrawlDirectory, settings: Settings, tally: Tally, client: str) -> Summary:
    """The summary of a crawl that has nothing to fetch. A report that a kill interrupted is written again."""
    if settings.report and (directory.path / f".{REPORT}").exists():
        report(directory, client)
    summary = summarise(
        tally,
        out=str(root_of(directory.path)),
        mode=settings.mode,
        client=client,
        ran=Ending.COMPLETE,
        stats=RunStats(),
        generation=directory.generation,
    )
    judge(summary, settings.fail_on)
    return summary


def _call_end_hook(directory: CrawlDirectory, hook: str, summary: Summary) -> None:
    """Pass the summary, and the diff of a re-crawl, to what the key `on_end` names."""
    from crawler.runtime.end_hook import call_end_hook
    from crawler.storage.diff import diff

    root = root_of(directory.path)
    comparable = directory.generation and len(generations(root)) > 1
    call_end_hook(hook, msgspec.json.encode({"summary": summary, "diff": diff(root) if comparable else None}))


def _drop_old(directory: CrawlDirectory, count: int) -> None:
    """Drop old generations after a re-crawl. Damage there does not fail it: a line in the log says why they stay."""
    if not (directory.generation and directory.is_over):
        return
    try:
        keep_last(root_of(directory.path), count)
    except StorageError as error:
        open_log().warning("old generations are kept", run=str(directory.path), why=str(error))


def _run_rounds(
    directory: CrawlDirectory, run_engine: Callable[[], tuple[Ending, RunStats, Meter]]
) -> tuple[Ending, RunStats, float, int]:
    """Run an engine to its ending. In a re-crawl that has then read all links, again for the known pages that none
    leads to. Returns also the seconds of CPU and the peak of memory, in bytes."""
    ran, stats, meter = run_engine()
    cpu_seconds, peak_memory = meter.cpu_seconds, meter.peak_memory
    while ran is Ending.COMPLETE and mark_unlinked(directory):
        ran, more, meter = run_engine()
        stats.merge(more)
        stats.widen(more.first_fetch_at, more.last_commit_at)
        stats.lateness.merge(more.lateness.message())
        cpu_seconds += meter.cpu_seconds
        peak_memory = max(peak_memory, meter.peak_memory)
    return ran, stats, cpu_seconds, peak_memory


def _run_unsharded(
    directory: CrawlDirectory,
    store: Store,
    settings: Settings,
    asked: Settings,
    plan: MemoryPlan,
    watch: Watch,
    callbacks: Callbacks,
) -> tuple[Ending, RunStats, Meter]:
    """Run an engine whose parent decides, on the one frontier."""
    import variants

    with closing(directory.frontier()) as frontier:
        number = directory.begin_run(asked, frontier)
        job = job_of(directory, settings, plan, number, frontier, store.writer, callbacks)
        watch(job)
        with limited(job) as meter, reduced_gc(), thread_errors():
            ran = variants.load(settings.mode).run(job)
        retry_storage(lambda: final_cleanup(store, frontier, job.recorder, number), settings.disk_wait)
    return ran, job.stats, meter


def job_of(
    directory: CrawlDirectory,
    settings: Settings,
    plan: MemoryPlan,
    number: int,
    frontier: Frontier,
    open_writer: Callable[[str], Writer],
    callbacks: Callbacks,
) -> Job:
    """The job of one run in a directory; `number` is that of the run."""
    return assemble(
        settings,
        directory.manifest.seed,
        frontier,
        open_writer,
        plan.own,
        to_unix=directory.to_unix,
        number=number,
        folder=directory.path,
        worker_shares=plan.worker,
        callbacks=callbacks,
    )


def _run_sharded(
    directory: CrawlDirectory,
    store: Store,
    settings: Settings,
    asked: Settings,
    plan: MemoryPlan,
    watch: Watch,
    callbacks: Callbacks,
) -> tuple[Ending, RunStats, Meter]:
    """Run an engine whose processes each decide for a shard, on their own frontiers."""
    import variants

    number = directory.begin_run(asked, None)
    run = Run(
        settings,
        directory.manifest.seed,
        RunStats(),
        directory.to_unix,
        number,
        directory.path,
        plan.own,
        plan.worker,
    )
    notifier = ProgressNotifier(callbacks.on_progress or (lambda progress: None), run.stats, run.in_flight)
    run.on_change = notifier.notify
    watch(run)
    with metered() as meter, reduced_gc(), thread_errors():
        ran = variants.load_sharded(settings.mode).run(run)
    notifier.notify(last=True)
    retry_storage(lambda: remove_all_orphans(store, directory), settings.disk_wait)
    return ran, run.stats, meter


def prepare(
    directory: CrawlDirectory, settings: Settings, shards: int, wanted: Wanted = NOTHING_MORE
) -> tuple[Store, dict[str, int]]:
    """Make a directory ready for a run with so many shards: check it, lay it out, remove what a kill has left, reopen
    what is `wanted`. Its store, and the number of reopened URLs by reason. Raises StorageError.
    """
    directory.use_access(settings)
    fix_choice(directory)
    if directory.manifest.runs and directory.manifest.layout:
        directory.check_to_write()
    ensure_layout(directory, settings, shards)
    store = directory.store(settings.disk_wait)
    remove_all_orphans(store, directory)
    again = ask_again(directory, store, wanted)
    directory.admit_within(settings.max_depth)
    return store, again


def report(directory: CrawlDirectory, client: str, seconds: float = 0.0) -> None:
    """Write `report.html`. Does not raise; `seconds` is the duration of a run that was not stopped: the report may take
    a share of that."""
    from crawler.report.writing import write_or_tell

    write_or_tell(directory, client, seconds)


def remove_orphans(store: Store, frontier: FrontierReader, last_run: int) -> None:
    """Before a run: remove the records that no settled row names, left by a kill or a full disk.

    They are in parts that were not closed, or in parts of the last run that hold more than was settled. Raises Corrupt
    where a part that settled rows name is missing.
    """
    records = frontier.records()
    missing = sorted(part for part in records if not store.holds(part))
    if missing:
        raise Corrupt(
            f"the pages of part {missing[0]} are missing; restore them from a copy, or use the command repair"
        )
    _sweep(store, frontier, last_run, records)


def remove_all_orphans(store: Store, directory: CrawlDirectory) -> None:
    """`remove_orphans` over all shards; opens the frontiers itself."""
    with closing(directory.open_frontiers()) as frontier:
        remove_orphans(store, frontier, directory.manifest.runs)


def final_cleanup(store: Store, frontier: FrontierReader, recorder: Recorder, run: int) -> None:
    """After a run: remove orphans (late answers, crashed workers), using the recorder's own counts."""
    _sweep(store, frontier, run, recorder.records)


def _sweep(store: Store, frontier: FrontierReader, run: int, records: Mapping[str, int]) -> None:
    doubtful = store.unclosed()
    mine = [part for part in store.parts() if part.startswith(f"{run:04d}-") and part not in doubtful]
    doubtful += [part for part in mine if store.last(part) != records.get(part, 0)]
    store.sweep(frontier.named(doubtful))


def kept_settings(
    directory: CrawlDirectory, settings: Settings, wanted: Wanted = NOTHING_MORE, fetches: bool = False
) -> Settings:
    """`settings` for the crawl of a directory: with its seeds and sitemaps, and with others where they are `wanted`.
    `fetches`: even if the crawl is complete, there will be something to fetch.

    Raises UsageError where they would change what cannot change (IMMUTABLE_KEYS), and where the secrets of the last run
    were not given again: a directory stores none.
    """
    mine = directory.settings
    if settings.filter not in ("", mine.filter):
        begun = f"the filter {mine.filter}" if mine.filter else "no filter"
        raise UsageError(
            f"{directory.path} was begun with {begun} and cannot go on with {settings.filter}; choose another out"
        )
    changed = [key for key in IMMUTABLE_KEYS if key != "seeds" and getattr(settings, key) != getattr(mine, key)]
    if changed:
        raise UsageError(
            f"the crawl of {directory.path} began with another {', '.join(changed)}, which cannot change: "
            "leave it as it was, replace the crawl with --fresh, or start one in another --out"
        )
    directory.use_access(settings)
    named = set(settings.seeds) - set(mine.sitemap)
    if named and named != set(mine.seeds) - set(mine.sitemap) and not wanted.seeds:
        raise UsageError(
            f"{directory.path} is a crawl of {_some(mine.seeds)}; name the same seeds or none, add others with"
            " --add-seeds (in Python add_seeds=True), or crawl them in another --out"
        )
    missing = set(directory.manifest.secret_origins) - set(settings.secret_origins)
    if missing and (fetches or asks_again(directory, wanted)):
        name = min(missing)
        raise UsageError(
            f"the last run of {directory.path} had headers or credentials for {name}, which are not kept: give them"
            f' again with --config, or [headers."{name}"] without any to go on without'
        )
    seeds, sitemap = (
        tuple(dict.fromkeys((*begun, *given)))
        for begun, given in ((mine.seeds, settings.seeds), (mine.sitemap, settings.sitemap))
    )
    return msgspec.structs.replace(settings, seeds=seeds, sitemap=sitemap)


def _some(urls: Sequence[str]) -> str:
    return ", ".join(urls[:3]) + (f" and {len(urls) - 3:,} more" if len(urls) > 3 else "")


def open_directory(path: Path, settings: Settings, *, resume: bool, fresh: bool, demo: bool) -> CrawlDirectory:
    """Create, replace or reopen the directory of a run: the last generation of a crawl. Raises CrawlerError."""
    if resume and CrawlDirectory.exists(path):
        return open_last(path)
    return CrawlDirectory.create(path, settings, demo, fresh)


def open_last(path: Path) -> CrawlDirectory:
    """The last generation of a crawl directory. Raises CrawlerError."""
    while True:
        last = CrawlDirectory.open(last_of(path))
        if last_of(path) == last.path:  # else another process has begun the next one while this one waited for the lock
            return last
        last.close()


def open_next(path: Path, settings: Settings) -> CrawlDirectory:
    """The next generation of a crawl directory, new; the last one where that was killed or stopped. Raises
    CrawlerError."""
    last = open_last(path)
    try:
        last.use_access(settings)
        if not last.is_over:
            return last
        retry_storage(lambda: catch_up(path, settings), settings.disk_wait)
        return last.begin_next(settings)
    except BaseException:
        last.close()
        raise
