"""`supervised DIR`: a crawl as the service runs it; hidden, because it is no command for people.

Rules:
- It is the crawl of `crawl --resume --out DIR`: it begins where there is none and goes on where there is one. A run
  that crawls again makes the next generation, as `recrawl DIR` does, but only while the last one in DIR is before that
  of the run: so it goes on with its own after any kill, and makes none twice.
- The settings are those of the run. What an earlier run of the directory had, and this one has not, is not kept.
- Orders come on stdin, messages go to stdout (crawler/cli/service_lines.py). Stdout is moved away first: what a library
  prints must not get between them, so it goes to stderr, which is the log of the run.
- It ends with the service, however that ends: the kernel kills it, and its workers with it, see
  variants/worker_process.py. The end of stdin means the same, where there is no such signal or where the service was
  gone before it was asked for: then the whole process group is killed. The crawl survives that as it survives any kill.
"""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING, Any

import click

from crawler.cli.service_lines import MessageLines, OrderLines, ProgressReporter, end_group
from crawler.cli.signals import Signals
from crawler.system.parent_death import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawler.cli.plan import Order, Plan
    from crawler.metrics.summary import Summary
    from crawler.runtime.job import Run
    from crawler.storage.directory import CrawlDirectory

LOCK_PATIENCE = 15.0


@click.command(hidden=True)
@click.argument("directory", metavar="DIR")
@click.option("--run", "run_file", required=True, metavar="FILE", help="JSON with the `settings` of the run.")
@click.pass_obj
def supervised(signals: Signals, /, directory: str, run_file: str) -> int:
    """Crawl for the service."""
    die_with_parent()
    if _is_hung_up(sys.stdin.fileno()):
        end_group()
    signals.hold()
    messages = MessageLines(_move_stdout())
    orders = OrderLines(sys.stdin.buffer)
    orders.start()
    _wait_for_lock(directory)
    plan = _plan(directory, run_file)
    summary = _crawl(plan, signals, orders, messages)
    from crawler.metrics.summary import exit_code
    from crawler.service.protocol import ChildEnded

    stopped = bool(signals.received) and not summary.over
    code = signals.exit_code if stopped and not summary.fail_on_held else exit_code(summary)
    messages.tell(ChildEnded(code, _builtins(summary)))
    return code


def _move_stdout() -> int:
    """A descriptor of our own for what stdout was; from now on stdout is stderr, also for child processes."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def _plan(directory: str, run_file: str) -> Plan:
    from pathlib import Path

    import msgspec

    from crawler.cli.plan import Order, make_plan
    from crawler.errors import Corrupt
    from crawler.service.run_file import RunFile
    from crawler.storage.directory import CrawlDirectory
    from crawler.storage.generations import last_of, number_of

    try:
        given = msgspec.json.decode(Path(run_file).read_bytes(), type=RunFile)
    except (msgspec.DecodeError, OSError) as error:
        raise Corrupt(f"cannot read the settings of the run in {run_file}: {error}") from error
    flags = {key: value for key, value in given.settings.items() if key != "profile"}
    profile = given.settings.get("profile")
    path, again = Path(directory), False
    if CrawlDirectory.exists(path):
        last = last_of(path)
        again = number_of(last) < (given.run.generation or 0)
        flags = _reset(CrawlDirectory.open_readonly(last), flags, profile) | flags
    order: Order = Order(flags | {"out": directory}, None, profile, resume=True, recrawl=again)
    return make_plan(order)


def _reset(last: CrawlDirectory, flags: dict[str, Any], profile_name: str | None) -> dict[str, Any]:
    """The defaults of the keys that the last run of a directory has set and this run does not set. Keys that a
    directory keeps for good are not among them."""
    import msgspec

    from crawler.settings import Settings, profile
    from crawler.storage.directory import ACCESS_KEYS, IMMUTABLE_KEYS

    given = {*flags, *(profile(profile_name) if profile_name else {}), *IMMUTABLE_KEYS, *ACCESS_KEYS, "sitemap"}
    if "timeout" in given:
        given.add("lease")  # which follows from it
    defaults: dict[str, Any] = msgspec.to_builtins(Settings())
    return {key: defaults[key] for key in last.manifest.settings if key not in given and key in defaults}


def _crawl(plan: Plan, signals: Signals, orders: OrderLines, messages: MessageLines) -> Summary:
    from contextlib import ExitStack

    from crawler.cli.crawl import lead_to, take_note
    from crawler.cli.progress import Pace, progress
    from crawler.cli.verdict import verdict
    from crawler.metrics.process_tree import process_started_at
    from crawler.run import execute
    from crawler.service.protocol import ChildStarted
    from crawler.system.logs import capture_library_logs
    from crawler.system.stderr import PATIENCE, write_nonblocking
    from crawler.system.text import escape_unprintable

    capture_library_logs()
    begun = False
    directory = _open(plan)
    take_note(plan)
    with ExitStack() as stack:
        stack.callback(directory.close)
        shown = stack.enter_context(ExitStack())
        settings = plan.settings
        if plan.demo:
            from crawler.testweb.process import start_web

            settings = lead_to(stack.enter_context(start_web()), settings)

        def watch(run: Run) -> None:
            nonlocal begun
            shown.close()
            run.track_in_flight()
            signals.drain(run, lambda: run.in_flight.pages)
            orders.attach(run)
            if not begun:  # a crawl may have several rounds
                begun = True
                messages.tell(ChildStarted(os.getpid(), settings.mode))
            title = f"{settings.mode}, {plan.path}"
            shown.enter_context(progress(Pace(run.stats, run.in_flight, settings.delay), signals, title, None))
            reporter = ProgressReporter(Pace(run.stats, run.in_flight, settings.delay), run, messages)
            shown.callback(reporter.end)

        summary = execute(directory, settings, watch, process_started_at(), plan.wanted)
    for line in verdict(directory, summary, settings.fail_on, kept=True):
        write_nonblocking(escape_unprintable(line), PATIENCE)
    return summary


def _wait_for_lock(directory: str) -> None:
    """Wait until no other process works in a crawl directory. Only then is its last generation known."""
    from pathlib import Path

    from crawler.storage.directory import CrawlDirectory

    path = Path(directory)
    if CrawlDirectory.exists(path):
        _patiently(lambda: CrawlDirectory.open(path)).close()


def _open(plan: Plan) -> CrawlDirectory:
    from crawler.run import open_directory, open_next

    path = plan.path
    assert path is not None
    if plan.recrawl:
        return open_next(path, plan.settings)
    return _patiently(lambda: open_directory(path, plan.settings, resume=True, fresh=False, demo=plan.demo))


def _patiently(take: Callable[[], CrawlDirectory]) -> CrawlDirectory:
    """Open a directory. Where a service was killed, the process before may hold it for a moment."""
    from time import monotonic, sleep

    from crawler.errors import Locked

    give_up_at = monotonic() + LOCK_PATIENCE
    while True:
        try:
            return take()
        except Locked:
            if monotonic() >= give_up_at:
                raise
            sleep(0.1)


def _builtins(summary: Summary) -> dict[str, object]:
    import msgspec

    told: dict[str, object] = msgspec.to_builtins(summary)
    return told


def _is_hung_up(pipe: int) -> bool:
    """Whether no process holds the other end of a pipe."""
    poll = select.poll()
    poll.register(pipe, select.POLLHUP)
    return any(seen & select.POLLHUP for _, seen in poll.poll(0))
