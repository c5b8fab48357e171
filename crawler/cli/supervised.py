"""`supervised DIR`: a crawl as the service runs it; hidden, because it is no command for people.

Rules:
- It is the crawl of `crawl --resume --out DIR`: it begins where there is none and goes on where there is one. A run
  that crawls again makes the next generation, as `recrawl DIR` does, but only while the last one in DIR is before that
  of the run: so it goes on with its own after any kill, and makes none twice.
- The settings are those of the run. What an earlier run of the directory had, and this one has not, is not kept.
- The lines of crawler/service/protocol.py come on stdin and go to stdout. Stdout is moved away first: what a library
  prints must not get between them, so it goes to stderr, which is the log of the run.
- It ends with the service, however that ends: the kernel kills it, and its workers with it, see
  variants/worker_process.py. The end of stdin means the same, where there is no such signal or where the service was
  gone before it was asked for: then the whole process group is killed. The crawl survives that as it survives any kill.
- Orders that come before the crawl begins are kept, and its first step obeys them.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from crawler.cli.signals import Signals
from crawler.system.parent_death import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawler.cli.plan import Order, Plan
    from crawler.cli.progress import Pace
    from crawler.metrics.summary import Summary
    from crawler.runtime.job import Run
    from crawler.service.protocol import AnyMessage, AnyOrder
    from crawler.service.records import RunProgress
    from crawler.storage.directory import CrawlDirectory

PERIOD = 1.0
FIRST_WAIT = 0.1
TOP_HOSTS = 10
LOCK_PATIENCE = 15.0
PARENT_GONE = 137


@click.command(hidden=True)
@click.argument("directory", metavar="DIR")
@click.option("--run", "run_file", required=True, metavar="FILE", help="JSON with the `settings` of the run.")
@click.pass_obj
def supervised(signals: Signals, /, directory: str, run_file: str) -> int:
    """Crawl for the service."""
    die_with_parent()
    if _is_over(sys.stdin.fileno()):
        _end_group()
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
        told = msgspec.json.decode(Path(run_file).read_bytes(), type=RunFile)
    except (msgspec.DecodeError, OSError) as error:
        raise Corrupt(f"cannot read the settings of the run in {run_file}: {error}") from error
    flags = {key: value for key, value in told.settings.items() if key != "profile"}
    named = told.settings.get("profile")
    path, again = Path(directory), False
    if CrawlDirectory.exists(path):
        last = last_of(path)
        again = number_of(last) < (told.run.generation or 0)
        flags = _not_kept(CrawlDirectory.open_readonly(last), flags, named) | flags
    order: Order = Order(flags | {"out": directory}, None, named, resume=True, recrawl=again)
    return make_plan(order)


def _not_kept(last: CrawlDirectory, flags: dict[str, Any], named: str | None) -> dict[str, Any]:
    """The defaults of what the last run of a directory had and this one has not, but of what a directory keeps."""
    import msgspec

    from crawler.settings import Settings, profile
    from crawler.storage.directory import ACCESS_KEYS, IMMUTABLE_KEYS

    given = {*flags, *(profile(named) if named else {}), *IMMUTABLE_KEYS, *ACCESS_KEYS, "sitemap"}
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
    """Wait until nobody works in a crawl directory: what is its last generation is read after that."""
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


def _is_over(pipe: int) -> bool:
    """Whether nobody holds the other end of a pipe."""
    poll = select.poll()
    poll.register(pipe, select.POLLHUP)
    return any(seen & select.POLLHUP for _, seen in poll.poll(0))


def _end_group() -> None:
    """End this process and, where it leads a group, all of that."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(PARENT_GONE)


class OrderLines:
    """Reads orders on a thread of its own, and passes them on to the run."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self._lock = threading.Lock()
        self._run: Run | None = None
        self._delay: float | None = None
        self._concurrency: int | None = None
        self._per_host: int | None = None
        self._paused = self._stopped = self._told = False

    def start(self) -> None:
        """Read from now on."""
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def attach(self, run: Run) -> None:
        """The run is there: it gets what was ordered so far, and what follows."""
        with self._lock:
            self._run = run
            self._pass_on()

    def _read(self) -> None:
        import msgspec

        from crawler.service.protocol import LONGEST_LINE, decode_order
        from crawler.system.stderr import write_nonblocking

        while line := self._lines.readline(LONGEST_LINE):
            try:
                order = decode_order(line)
            except msgspec.DecodeError as error:
                write_nonblocking(f"warning: an order that is none: {error}")
                continue
            with self._lock:
                self._take(order)
                self._pass_on()
        _end_group()

    def _take(self, order: AnyOrder) -> None:
        from crawler.service.protocol import LimitRun, PauseRun, ResumeRun, StopRun

        match order:
            case PauseRun():
                self._paused = True
            case ResumeRun():
                self._paused = False
            case StopRun():
                self._stopped = True
            case LimitRun():
                self._delay, self._concurrency, self._per_host = order.delay, order.concurrency, order.per_host

    def _pass_on(self) -> None:
        from contextlib import suppress

        from crawler.core.messages import LiveLimits, Stop

        if self._run is None:
            return
        with suppress(OSError, RuntimeError):  # the engine has just ended on its own
            if self._stopped:
                self._run.post(Stop())
            else:
                limits = LiveLimits(self._delay or 0.0, self._concurrency, self._per_host, self._paused)
                if limits != LiveLimits() or self._told:
                    self._told = True
                    self._run.post(limits)


class MessageLines:
    """Writes messages, one a line, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def tell(self, message: AnyMessage) -> None:
        """Write a message. Does nothing once the service is gone: the end of stdin says so, too."""
        from contextlib import suppress

        from crawler.service.protocol import encode_line

        line = encode_line(message) + b"\n"
        with self._lock, suppress(OSError):
            while line:
                line = line[os.write(self._descriptor, line) :]


class ProgressReporter:
    """Tells the progress of a run every PERIOD seconds, at first more often, and once more at the end."""

    def __init__(self, pace: Pace, run: Run, messages: MessageLines) -> None:
        self._pace = pace
        self._run = run
        self._messages = messages
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report, name="reporter", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Tell it once more, and end."""
        self._ended.set()
        self._thread.join()

    def _report(self) -> None:
        from crawler.service.protocol import ChildProgress

        wait = FIRST_WAIT
        while True:
            over = self._ended.wait(wait)
            wait = min(PERIOD, 2 * wait)
            self._messages.tell(ChildProgress(self._look()))
            if over:
                return

    def _look(self) -> RunProgress:
        from heapq import nlargest
        from time import monotonic, time

        from crawler.service.records import HostLoad, RunProgress

        view = self._pace.look(monotonic())
        hosts = list(dict(self._run.stats.hosts).items())
        top = nlargest(TOP_HOSTS, hosts, key=lambda pair: pair[1].fetched)
        return RunProgress(
            at=time(),
            urls=view.urls,
            pages=view.pages,
            bytes=view.bytes,
            rate=view.rate,
            queue=view.queue,
            in_flight=view.in_flight,
            hosts_in_flight=view.hosts_in_flight,
            errors=view.errors,
            eta=view.eta,
            paused=view.paused,
            settled=view.settled,
            hosts=view.hosts,
            fetch_seconds=round(sum(one.seconds for _, one in hosts), 3),
            reasons=dict(self._run.stats.errors),
            responses=dict(self._run.stats.responses),
            top_hosts=tuple(HostLoad(name, one.fetched, one.failed, round(one.seconds, 3)) for name, one in top),
        )
