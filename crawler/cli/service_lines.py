"""The lines between a run and its service: orders come on stdin, messages and progress go out.

Rules:
- Their form is that of crawler/service/protocol.py. A line that is no order is logged, and the next one is read.
- Orders that come before the crawl begins are kept, and its first step obeys them.
- The end of stdin means that the service is gone: then the whole process group is killed.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from crawler.cli.progress import Pace
    from crawler.runtime.job import Run
    from crawler.service.protocol import AnyMessage, AnyOrder
    from crawler.service.records import RunProgress

PERIOD = 1.0
FIRST_WAIT = 0.1
TOP_HOSTS = 10
PARENT_GONE = 137


def end_group() -> None:
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
        end_group()

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
