"""The process of one run: its start, its pipes, its end.

Rules:
- It has a session and a process group of its own. However it ends, what is left of its group is killed before its exit
  status is collected: until then no other process can have its id.
- It ends with the service: its stdin closes then, see crawler/cli/supervised.py. Nothing is adopted later.
- Its end is known when its exit status and the ends of both pipes are there, so no message and no line of its log comes
  after it.
- What it writes is bounded: a message is at most LONGEST_LINE, of its log the last lines are kept in memory and
  `log_bytes` on disk. Nothing that it writes can make the service wait.
- The environment has none of the CRAWLER_ variables of the service: a run is described by its settings alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from crawler.service.capped_log import CappedLog
from crawler.service.protocol import LONGEST_LINE, AnyMessage, AnyOrder, decode_message, encode_line
from crawler.system.text import escape_unprintable

LAST_LINES = 20
LONGEST_SHOWN = 500
MOST_FAULTS = 100
"""Messages that cannot be read are noted in the log so often, then no more."""


class ChildExit(msgspec.Struct, frozen=True):
    """How a process ended: an exit code, or the signal that killed it; the last lines of its stderr."""

    exit_code: int | None
    signal: int | None
    stderr: str


class ChildProcess:
    """A running process. Its methods belong to the thread of the loop."""

    def __init__(self, process: subprocess.Popen[bytes], log: CappedLog) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._ended = asyncio.get_running_loop().create_future()
        self._orders: asyncio.WriteTransport | None = None
        self._faults = 0

    @classmethod
    async def start(
        cls, command: Sequence[str], log: CappedLog, on_message: Callable[[AnyMessage], None]
    ) -> ChildProcess:
        """Start a process; `on_message` gets each message. Raises OSError."""
        child = cls(_spawn(command), log)
        await child._attach(on_message)
        return child

    async def _attach(self, on_message: Callable[[AnyMessage], None]) -> None:
        loop = asyncio.get_running_loop()
        exit_code: asyncio.Future[int] = loop.create_future()
        threading.Thread(target=self._wait, args=(loop, exit_code), name=f"wait-{self.pid}", daemon=True).start()
        messages = PipeLines(lambda line: self._take(line, on_message), LONGEST_LINE)
        stderr = PipeLines(self._keep, LONGEST_LINE)
        orders, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, self._process.stdin)
        self._orders = orders
        await loop.connect_read_pipe(lambda: messages, self._process.stdout)
        await loop.connect_read_pipe(lambda: stderr, self._process.stderr)
        self._closing = loop.create_task(self._close(exit_code, messages.closed, stderr.closed))

    def _wait(self, loop: asyncio.AbstractEventLoop, exit_code: asyncio.Future[int]) -> None:
        """On a thread of its own: wait for the end, kill what is left of the group, collect the exit status."""
        with suppress(OSError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(exit_code.set_result, code)

    async def _close(self, exit_code: asyncio.Future[int], *pipes: asyncio.Future[None]) -> None:
        code = await exit_code
        await asyncio.gather(*pipes)
        self._log.close()
        if self._orders is not None:
            self._orders.close()
        killed = -code if code < 0 else None
        self._ended.set_result(ChildExit(None if killed else code, killed, "\n".join(self._lines)))

    def _take(self, line: bytes, on_message: Callable[[AnyMessage], None]) -> None:
        try:
            message = decode_message(line)
        except msgspec.DecodeError as error:
            self._faults += 1
            if self._faults <= MOST_FAULTS:
                self._log.write(f"service: a message that cannot be read, {len(line)} bytes: {error}\n".encode())
            return
        on_message(message)

    def _keep(self, line: bytes) -> None:
        self._log.write(line + b"\n")
        self._lines.append(escape_unprintable(line[:LONGEST_SHOWN].decode("utf-8", "replace")))

    def order(self, order: AnyOrder) -> None:
        """Tell it something. Does nothing once it has ended."""
        if self._orders is not None and not self._orders.is_closing():
            self._orders.write(encode_line(order) + b"\n")

    def terminate(self) -> None:
        """SIGTERM to the process, which then drains."""
        with suppress(OSError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        if self._process.returncode is None:
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    def abandon(self) -> None:
        """Close its stdin: it ends at once, as it would if this process were killed."""
        if self._orders is not None:
            self._orders.abort()

    async def ended(self) -> ChildExit:
        """Wait for its end."""
        found: ChildExit = await asyncio.shield(self._ended)
        return found


def _spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("CRAWLER_")},
    )


class PipeLines(asyncio.Protocol):
    """Splits what comes through a pipe into lines; of one that is longer than `most` bytes only the beginning is passed
    on."""

    def __init__(self, on_line: Callable[[bytes], None], most: int) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_line = on_line
        self._most = most
        self._buffer = bytearray()
        self._skipping = False

    def data_received(self, data: bytes) -> None:
        """Pass on the lines that are complete."""
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        for line in lines:
            self._pass_on(line)
            self._skipping = False
        if len(rest) > self._most:
            self._pass_on(rest)
            self._skipping = True
            rest = bytearray()
        self._buffer = rest

    def _pass_on(self, line: bytearray) -> None:
        if not self._skipping:
            self._on_line(bytes(line[: self._most]))

    def connection_lost(self, error: Exception | None) -> None:
        """The other end is closed: pass on what is left."""
        if self._buffer:
            self._pass_on(self._buffer)
        if not self.closed.done():
            self.closed.set_result(None)
