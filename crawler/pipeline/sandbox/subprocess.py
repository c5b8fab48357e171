"""Starts the sandbox process, which parses heavy pages, and talks to it over a socket."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from crawler.pipeline.sandbox.messages import ParseRequest, ParseResponse, SandboxConfig

PATIENCE = 30.0
"""Seconds until a process that sends nothing and uses no CPU is taken for stopped. One that is slow on a busy machine
gets more time: its CPU time is bounded."""
PROGRAM = "import sys; sys.path[:] = {path!r}; from crawler.pipeline.sandbox.worker import serve; serve({descriptor})"


class HeavyProcess:
    """Parses one page after another, for one thread at a time. Raises OSError where it cannot be started."""

    def __init__(self, charter: SandboxConfig) -> None:
        mine, theirs = socket.socketpair()
        with theirs:
            program = PROGRAM.format(path=sys.path, descriptor=theirs.fileno())
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", program],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            except BaseException:
                mine.close()
                raise
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        patience = struct.pack("@ll", int(PATIENCE), 0)
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        self._line = Connection(mine.detach())
        self._charter: SandboxConfig | None = charter
        self.pid = self._process.pid

    def ask(self, order: ParseRequest, body: bytes) -> ParseResponse:
        """Parse one page. Raises OSError or EOFError where the process has ended or does not respond."""
        if self._charter is not None:
            self._line.send_bytes(msgspec.msgpack.encode(self._charter))
            self._charter = None
        self._line.send_bytes(msgspec.msgpack.encode(order))
        self._line.send_bytes(body)
        used = self._cpu_ticks()
        while not self._line.poll(PATIENCE):
            before, used = used, self._cpu_ticks()
            if used <= before:
                raise TimeoutError
        return msgspec.msgpack.decode(self._line.recv_bytes(), type=ParseResponse)

    def _cpu_ticks(self) -> int:
        """The CPU time that it has used, in kernel ticks; 0 where there is no /proc."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0
        return int(fields[11]) + int(fields[12])

    def kill(self) -> None:
        """Send SIGKILL; from any thread."""
        self._process.kill()

    def end(self) -> int:
        """Close the socket and wait for the process; its exit status, as in subprocess."""
        if not self._line.closed:
            self._line.close()
        try:
            return self._process.wait(1.0)  # without a kill, so that the signal of the kernel is in the status
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
