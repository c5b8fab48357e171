"""Signals: the first one asks for an orderly end, the second one ends the process at once.

Rules:
- Nothing is raised in the middle of whatever is running: a handler says a word, posts `Stop` and returns.
- Until it is known which command runs, a signal is remembered. A command that has nothing to bring in order ends with
  it (`release`); one that has is told to stop as soon as it can be (`hold`, `drain`), so that it says what it has done.
- The same signal again within ECHO seconds is no second one: `timeout` sends it to a process and to its group, which
  the process is in.
- Ending at once is safe: a crawl survives any kill, and its worker processes die with their parent.
- SIGINT and SIGTERM are obeyed even where a shell started us with them ignored (`crawler & kill -INT $!` in a script);
  SIGHUP stays ignored under nohup.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from crawler.system.stderr import write_nonblocking

TYPE_CHECKING = False  # as in typing, whose import takes longer than all else until the handlers are installed
if TYPE_CHECKING:
    from types import FrameType

    from crawler.runtime.job import Job

ECHO = 0.25
AGAIN = "press Ctrl-C again to end at once"
SECOND = "a second signal ends it at once"


class Signals:
    """What this process was told from outside. `received` is the number of the first signal, 0 while there is none."""

    def __init__(self) -> None:
        self.received = 0
        self.say: Callable[[str], object] = write_nonblocking
        self._held: bool | None = None
        self._received_at = 0.0
        self._job: Job | None = None
        self._in_flight: Callable[[], int] = lambda: 0

    def install(self) -> None:
        """From now on signals come here. Main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._receive)

    def hold(self) -> None:
        """The first signal, also one that has come, is an order to stop, not the end."""
        self._held = True

    def release(self) -> None:
        """The first signal, also one that has come, is the end."""
        self._held = False
        if self.received:
            os._exit(self.exit_code)

    def drain(self, job: Job, in_flight: Callable[[], int]) -> None:
        """From now on, and if one came already, the first signal stops this job."""
        self._in_flight = in_flight
        self._job = job
        if self.received:
            self._stop()

    @property
    def exit_code(self) -> int:
        """What a process ends with that a signal has stopped."""
        return 128 + self.received

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == self.received and monotonic() - self._received_at < ECHO:
            return
        if self.received or self._held is False:
            os._exit(128 + number)
        self.received, self._received_at = number, monotonic()
        if self._held is None:
            return
        count = self._in_flight()
        waiting = f"waiting for {count} fetches in flight" if count else "waiting for what is in flight"
        self.say(f"stopping: {waiting}; {AGAIN if number == signal.SIGINT else SECOND}")
        self._stop()

    def _stop(self) -> None:
        if self._job is None:
            return
        from crawler.core.messages import Stop  # whoever has a job has imported it: safe inside any other import

        with suppress(OSError, RuntimeError):  # the engine has just ended by itself
            self._job.post(Stop())
