"""The request log: one JSON line per request, in the order in which requests ended.

It outlives every crawler that it watches. Lines are gathered in memory and written whole, by one call, so that a reader
beside the writer sees whole lines; the server flushes at least every `FLUSH_SECONDS` and when it ends. Several
processes append to one file: what each writes stays whole, and `read_log` puts it in order by the clock they share.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

FLUSH_SECONDS = 0.1


class LogEntry(msgspec.Struct, frozen=True):
    """One request as the server saw it.

    `at` and `end` are on the monotonic clock of the machine: when the request had arrived whole, and when the last byte
    of the answer was given to the kernel (or the connection broke). `wall` is Unix time at arrival. `in_flight` counts
    the requests being answered at arrival by this process of the server, this one included. `hold` is how long after
    `end` the host asked to be left alone (Retry-After). `status` is 0 where no answer was sent: the client went away,
    or the page breaks the line. `late` is how many seconds after its time the answer began to be sent, `sent` how many
    bytes of it were, the head included.
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


class RequestLog:
    """Appends entries to a file. For one thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lines: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode

    def add(self, entry: LogEntry) -> bool:
        """Take an entry; True if it is the first since the last flush, so that a flush should be planned."""
        self._lines.append(self._encode(entry))
        return len(self._lines) == 1

    def flush(self) -> None:
        """Write what was taken."""
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
    """All whole lines of a log, by arrival. Raises msgspec.DecodeError for a line that is no entry."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    decode = msgspec.json.Decoder(LogEntry).decode
    return sorted((decode(line) for line in whole.split(b"\n") if line), key=lambda entry: entry.at)
