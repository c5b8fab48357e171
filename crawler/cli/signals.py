"""Signals: the first one starts an orderly shutdown, the second one ends the process at once.

Rules:
- A handler raises nothing into the running code: it prints a line, posts `Stop` and returns.
- Until the command is known, a signal is remembered. A command without cleanup then exits (`release`); one with cleanup
  is stopped as soon as possible (`hold`, `drain`), so that it reports what it has done.
- The same signal again within ECHO seconds does not count as a second one: `timeout` sends it to the process and again
  to its process group.
- Ending at once is safe: a crawl survives any kill, and its worker processes end with their parent.
- SIGINT and SIGTERM are handled even where a shell started us with them ignored (`crawler & kill -INT $!` in a script);
  SIGHUP stays ignored under nohup.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from crawler.system.stderr import DESCRIPTOR, write_nonblocking

TYPE_CHECKING = False  # typing is not imported: its import would take most of the time until the handlers are installed
if TYPE_CHECKING:
    from types import FrameType

    from crawler.runtime.job import Run

ECHO = 0.25
AGAIN = "press Ctrl-C again to end at once"
SECOND = "a second signal ends it at once"
SHOW_CURSOR = "\x1b[?25h"


class Signals:
    """The signals of this process. `received` is the number of the first signal, 0 while there is none."""

    def __init__(self) -> None:
        self.received = 0
        self.say: Callable[[str], object] = write_nonblocking
        self._held: bool | None = None
        self._received_at = 0.0
        self._run: Run | None = None
        self._in_flight: Callable[[], int] = lambda: 0

    def install(self) -> None:
        """Install the handlers. Main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._receive)

    def hold(self) -> None:
        """Make the first signal, including one already received, a request to stop; it does not end the process."""
        self._held = True

    def release(self) -> None:
        """Make the first signal, including one already received, end the process."""
        self._held = False
        if self.received:
            os._exit(self.exit_code)

    def drain(self, run: Run, in_flight: Callable[[], int]) -> None:
        """Stop this run on the first signal, including one already received."""
        self._in_flight = in_flight
        self._run = run
        if self.received:
            self._stop()

    @property
    def exit_code(self) -> int:
        """The exit code of a process stopped by a signal: 128 + its number."""
        return 128 + self.received

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == self.received and monotonic() - self._received_at < ECHO:
            return
        if self.received and os.isatty(DESCRIPTOR):
            write_nonblocking(SHOW_CURSOR)  # the display of the progress had hidden it
        if self.received or self._held is False:
            os._exit(128 + number)
        self.received, self._received_at = number, monotonic()
        if self._held is None:
            return
        count = self._in_flight()
        waiting = f"waiting for {count} fetches in flight" if count else "waiting for fetches in flight"
        self.say(f"stopping: {waiting}; {AGAIN if number == signal.SIGINT else SECOND}")
        self._stop()

    def _stop(self) -> None:
        if self._run is None:
            return
        from crawler.core.messages import Stop  # imported with the run already, so safe in a handler

        with suppress(OSError, RuntimeError):  # the engine has just ended on its own
            self._run.post(Stop())
