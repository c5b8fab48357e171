"""The request log: one JSON line per request, in the order in which requests ended.

The server writes it, so it survives a crash of the crawler. Lines are buffered and written with one call, so that a
concurrent reader sees whole lines; the server flushes at least every `FLUSH_SECONDS` and when it ends. Several
processes append to one file: their writes do not mix, and `read_log` sorts lines by the clock that they share.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

FLUSH_SECONDS = 0.1


class LogEntry(msgspec.Struct, frozen=True):
    """One request as the server saw it.

    `at` and `end` are on the monotonic clock of the machine: when the request was complete, and when the last byte of
    the answer was given to the kernel (or the connection broke). `wall` is Unix time at arrival. `in_flight` counts the
    requests that this server process was answering at arrival, this one included. `hold` is the Retry-After in seconds,
    from `end`. `status` is 0 where no answer was sent: the client disconnected, or the page's fault is a broken
    connection. `late` is by how many seconds the answer was sent late, `sent` its bytes, the head included.
    """

    at: float
    wall: float
    end: float
    host: str
    path: str
    attempt: int
    status: int
    in_flight: int
    connection: int
    hold: float = 0.0
    late: float = 0.0
    sent: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        """What was asked for, without a port, as in the links of the web."""
        return f"{self.scheme}://{self.host}{self.path}"


class RequestLog:
    """Appends entries to a file. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lines: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode

    def add(self, entry: LogEntry) -> bool:
        """Buffer an entry; True if it is the first since the last flush, so that the caller schedules a flush."""
        self._lines.append(self._encode(entry))
        return len(self._lines) == 1

    def flush(self) -> None:
        """Write the buffered entries."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._file.write(b"\n".join(lines) + b"\n")

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def read_log(path: Path) -> list[LogEntry]:
    """All complete lines of a log, sorted by arrival. Raises msgspec.DecodeError for a line that is not an entry."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    decode = msgspec.json.Decoder(LogEntry).decode
    return sorted((decode(line) for line in whole.split(b"\n") if line), key=lambda entry: entry.at)
