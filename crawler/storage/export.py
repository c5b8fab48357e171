"""Exports the settled URLs of a crawl as JSON lines or CSV.

Rules:
- One row per settled URL, in the order in which they were admitted. Fields keep their order; new ones come last.
- `fetched_at` is when the last response was committed, within a second of its arrival; null where none was requested.
- Some of the text is remote. JSON is written in ASCII, and text in a CSV cell passes `csv_safe`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from crawler.storage.frontier.rows import SettledRow
from crawler.system.text import csv_safe

FIELDS = (
    "url",
    "status",
    "reason",
    "depth",
    "fetched_at",
    "content_type",
    "digest",
    "length",
    "attempts",
    "seconds",
    "truncated",
    "detail",
)
Cell = str | int | float | None


def as_jsonl(rows: Iterable[SettledRow]) -> Iterator[str]:
    """One JSON object per line."""
    for row in rows:
        yield json.dumps(dict(zip(FIELDS, cells(row), strict=True))) + "\n"


def as_csv(rows: Iterable[SettledRow]) -> Iterator[str]:
    """RFC 4180 with a header line; null is an empty cell."""
    writer = csv.writer(_Line())
    yield writer.writerow(FIELDS)
    for row in rows:
        yield writer.writerow([csv_safe(value) if isinstance(value, str) else value for value in cells(row)])


def cells(row: SettledRow) -> tuple[Cell, ...]:
    """The values of one row, in the order of FIELDS. `status` and `digest` are null where there was no response."""
    asked = row.attempts > 0
    return (
        row.url,
        row.status or None,
        row.reason.value,
        row.depth,
        _utc(row.settled_at) if asked else None,
        row.content_type or None,
        row.digest.hex() or None,
        row.size,
        row.attempts,
        round(row.seconds, 6) if asked else None,
        row.truncated or None,
        row.detail or None,
    )


class _Line:
    """A file whose `write` returns the text: csv.writer then returns each line instead of storing it."""

    def write(self, line: str) -> str:
        return line


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
