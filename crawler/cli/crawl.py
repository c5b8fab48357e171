"""`crawl`, the default command: crawl until every URL is settled, a limit is reached or a signal stops it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from crawler.cli.options import (
    AGAIN,
    CONFIGURATION,
    ENGINE,
    LIMITS,
    OUTPUT,
    POLITENESS,
    SCOPE,
    SEEDS,
    Sectioned,
    all_seeds,
    given,
    with_options,
)
from crawler.cli.signals import Signals
from crawler.system.stderr import PATIENCE, write_nonblocking

if TYPE_CHECKING:
    from pathlib import Path

    from crawler.cli.plan import Order, Plan
    from crawler.metrics.counters import RunStats
    from crawler.metrics.summary import Summary
    from crawler.runtime.job import Run
    from crawler.settings import Settings
    from crawler.testweb.process import StartedWeb

WHERE = (
    click.option("--out", metavar="DIR", help="Directory of the crawl.  [crawls/<host>-<UTC time>]"),
    click.option("--resume", is_flag=True, help="Continue the crawl in --out, or start it there."),
    click.option("--fresh", is_flag=True, help="Replace the crawl in --out."),
)


def tell_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Print the version and exit; a checkout that is not installed has none."""
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    from crawler.system.invocation import DISTRIBUTION

    try:
        click.echo(f"crawler {version(DISTRIBUTION)}")
    except PackageNotFoundError:
        click.echo("crawler, not installed: run from a checkout")
    context.exit()


VERSION = click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=tell_version, help="Print the version."
)


@click.command(cls=Sectioned, short_help="Crawl.")
@click.argument("urls", nargs=-1, metavar="[URL]...")
@with_options(ENGINE, POLITENESS, LIMITS, SCOPE, WHERE, AGAIN, SEEDS, CONFIGURATION, OUTPUT)
@VERSION
@click.pass_obj
def crawl(
    signals: Signals,
    /,
    urls: tuple[str, ...],
    resume: bool,
    fresh: bool,
    retry_failed: bool,
    retry_reason: tuple[str, ...],
    seed_file: str | None,
    add_seeds: bool,
    config: str | None,
    profile: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    log_format: str | None,
    **flags: Any,
) -> int:
    """Crawl from these URLs; without one, crawl the built-in test web.

    A resumed crawl keeps its URLs, --scope, --include, --exclude and --store; --add-seeds gives it more URLs.

    Exit codes: 0 complete or incomplete, 1 stopped by a limit, 2 invalid usage, 3 store, disk or lock,
    4 nothing could be fetched, or a condition of --fail-on holds, 130 and 143 interrupted.
    """
    seeds = all_seeds(urls, seed_file, signals)
    signals.hold()
    from crawler.cli.plan import Order
    from crawler.storage.reopening import Wanted

    wanted = Wanted(retry_failed, retry_reason, add_seeds)
    order = Order(given(flags | {"seeds": seeds}), config, profile, resume, fresh, wanted)
    return carry_out(order, signals, as_json, quiet, log_format, verbose)


def carry_out(
    order: Order, signals: Signals, as_json: bool, quiet: bool, log_format: str | None, verbose: bool = False
) -> int:
    """Crawl as ordered and print the summary; returns the exit code. Raises CrawlerError."""
    from contextlib import ExitStack, suppress

    from msgspec.structs import replace

    from crawler.cli.plan import discard, make_plan, new_path, useless
    from crawler.cli.present import present
    from crawler.cli.progress import Pace, progress, url_log_format
    from crawler.cli.verdict import verdict
    from crawler.core.endings import in_words
    from crawler.errors import CrawlerError
    from crawler.metrics.process_tree import process_started_at
    from crawler.metrics.summary import exit_code
    from crawler.run import execute, open_directory, open_next
    from crawler.storage.directory import CrawlDirectory
    from crawler.system.logs import capture_library_logs
    from crawler.system.text import escape_unprintable

    capture_library_logs()
    plan = make_plan(order)
    path = plan.path or new_path(plan)
    if signals.received and (plan.fresh or not CrawlDirectory.exists(path)):
        click.echo(present(nothing_done(plan.settings), None, as_json))  # stopped before the crawl began
        return signals.exit_code
    if plan.recrawl:
        directory = open_next(path, plan.settings)
    else:
        directory = open_directory(path, plan.settings, resume=plan.resume, fresh=plan.fresh, demo=plan.demo)
    if not quiet:
        take_note(plan)
    stats: RunStats | None = None
    with ExitStack() as stack:
        stack.callback(directory.close)
        shown = stack.enter_context(ExitStack())
        settings = plan.settings
        if plan.demo:
            from crawler.testweb.process import start_web

            settings = lead_to(stack.enter_context(start_web(sitemaps=settings.sitemaps)), settings)

        def watch(run: Run) -> None:
            nonlocal stats
            stats = stats or run.stats  # those of later rounds are added to the first
            run.track_in_flight()
            signals.drain(run, lambda: run.in_flight.pages)
            if verbose:
                run.log_urls(url_log_format(log_format))
            if not quiet:
                pace = Pace(run.stats, run.in_flight, settings.delay)
                shown.close()
                shown.enter_context(progress(pace, signals, _title(plan, path), log_format, verbose))

        def on_reopened(counts: dict[str, int]) -> None:
            if not quiet:
                total = sum(counts.values())
                write_nonblocking(f"note: fetching {total:,} URL{'s' * (total != 1)} again: {in_words(counts)}")

        summary = execute(directory, settings, watch, process_started_at(), plan.wanted, on_reopened)
    lines = list(verdict(directory, summary, settings.fail_on, kept=not useless(plan, summary)))
    if useless(plan, summary):
        with suppress(CrawlerError):  # as of the directory: what cannot be removed stays
            directory.remove_elsewhere()
        discard(path)
        summary = replace(summary, out=None)
    if as_json or summary.out is not None:
        click.echo(present(summary, stats, as_json))
    stopped = bool(signals.received) and not summary.over
    for line in lines:
        write_nonblocking(escape_unprintable(line), PATIENCE)
    return signals.exit_code if stopped and not summary.fail_on_held else exit_code(summary)


def _title(plan: Plan, path: Path) -> str:
    """What the progress is about, with a hint for a site of one's own that is crawled as if it were a stranger's."""
    hint = " · your own site? --profile fast" if plan.settings.delay and not plan.demo else ""
    return f"{plan.settings.mode}, {path}{hint}"


def nothing_done(settings: Settings) -> Summary:
    """The summary of a run that was stopped before there was a directory."""
    import variants
    from crawler.core.reasons import Ending
    from crawler.metrics.counters import RunStats, Tally
    from crawler.metrics.summary import summarise

    client = variants.client_of(settings)
    return summarise(Tally(), out=None, mode=settings.mode, client=client, ran=Ending.STOPPED, stats=RunStats())


def take_note(plan: Plan) -> None:
    """Print notes on seeds that are added, on options that are retired or lowered, and on failpoints."""
    from crawler.settings import RETIRED
    from crawler.system.failpoints import VARIABLE as FAILPOINTS
    from crawler.system.text import escape_unprintable

    if plan.wanted.seeds:
        write_nonblocking(f"note: {plan.added:,} seed{'s' * (plan.added != 1)} added to the crawl")
    for key in plan.retired:
        write_nonblocking(f"note: {key} has no effect any more; set {RETIRED[key]} instead")
    if plan.memory_note:
        write_nonblocking(f"note: {plan.memory_note}")
    if plan.resume and plan.path is None:
        write_nonblocking("note: --resume without --out starts a new crawl")
    if faults := os.environ.get(FAILPOINTS):
        write_nonblocking(escape_unprintable(f"note: faults are set on purpose: {FAILPOINTS}={faults}"))


def lead_to(web: StartedWeb, settings: Settings) -> Settings:
    """Settings that resolve to the started test web, whose ports may differ with each start."""
    from msgspec.structs import asdict, replace

    return replace(settings, **asdict(web.settings))
