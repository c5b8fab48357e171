"""Exports the settled URLs of a crawl, with the content of their pages where it is asked for, as JSON lines or CSV.

Rules:
- One row per settled URL, in the order in which they were admitted. Fields keep their order; new ones come last.
- `fetched_at` is when the last response was committed, within a second of its arrival; null where none was requested.
- The fields of COLUMNS are those of rows and cost nothing more. Those of CONTENT read the stored page, and
  `linked_from` reads all pages, once; they are null where there is no page. `truncated` says that a body is not whole.
- Some of the text is remote. JSON is written in ASCII, and text in a CSV cell passes `csv_safe`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from crawler.core.page import content
from crawler.core.page.links import page_headers
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.linking_pages import LinkingPages
from crawler.storage.pages.base import Page
from crawler.storage.pages.files import body_name, write_body
from crawler.storage.row_filter import RowCondition, check_name
from crawler.storage.stored_crawl import StoredCrawl
from crawler.system.text import csv_safe

Cell = str | int | float | None
Value = Cell | list[str] | list[tuple[str, str]]
Record = dict[str, Value]

COLUMNS: Mapping[str, Callable[[SettledRow], Cell]] = {
    "url": lambda row: row.url,
    "status": lambda row: row.status or None,
    "reason": lambda row: row.reason.value,
    "depth": lambda row: row.depth,
    "fetched_at": lambda row: _utc(row.settled_at) if row.attempts else None,
    "content_type": lambda row: row.content_type or None,
    "digest": lambda row: row.digest.hex() or None,
    "length": lambda row: row.size,
    "attempts": lambda row: row.attempts,
    "seconds": lambda row: round(row.seconds, 6) if row.attempts else None,
    "truncated": lambda row: row.truncated or None,
    "detail": lambda row: None if row.redirect_target else row.detail or None,
    "redirect_target": lambda row: row.redirect_target or None,
}
NUMBERS = frozenset({"status", "depth", "length", "attempts", "seconds"})
CONTENT: Mapping[str, Callable[[Page], Value]] = {
    "title": lambda page: page.title,
    "headers": lambda page: list(page.headers),
    "text": lambda page: page.text,
    "body": lambda page: content.decoded(page.document, page.body, page_headers(page.headers)),
    "body_file": lambda page: body_name(page.body),
}
LINKED_FROM = "linked_from"
FIELDS = (*COLUMNS, *CONTENT, LINKED_FROM)


def fields_of(text: str | None, bodies: bool) -> tuple[str, ...]:
    """The fields that a list "url,title,..." names; without one all COLUMNS, and `body_file` where `bodies` are
    written. Raises UsageError for unknown names."""
    if text is None:
        return (*COLUMNS, "body_file") if bodies else tuple(COLUMNS)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        check_name(name, FIELDS, "--fields")
    return names


def records(
    crawl: StoredCrawl, fields: Sequence[str], where: Sequence[RowCondition] = (), bodies: Path | None = None
) -> Iterator[Record]:
    """The rows that meet all conditions, with these fields; writes their bodies below the folder `bodies`, as files
    named by `body_file`. Raises StorageError."""
    if LINKED_FROM not in fields:
        for row in _selected(crawl, where):
            yield _record(crawl, row, fields, bodies)
        return
    with closing(LinkingPages(row.url for row in _selected(crawl, where))) as linking:
        linking.search(crawl)
        for row in _selected(crawl, where):
            yield _record(crawl, row, fields, bodies, linking)


def _selected(crawl: StoredCrawl, where: Sequence[RowCondition]) -> Iterator[SettledRow]:
    needed = [condition.field for condition in where]
    for row in crawl.urls():
        cells = {field: COLUMNS[field](row) for field in needed}
        if all(condition.holds(cells) for condition in where):
            yield row


def _record(
    crawl: StoredCrawl,
    row: SettledRow,
    fields: Sequence[str],
    bodies: Path | None,
    linking: LinkingPages | None = None,
) -> Record:
    page = crawl.read(row) if row.part and (bodies or not CONTENT.keys().isdisjoint(fields)) else None
    if page is not None and bodies is not None:
        write_body(bodies, page.body)
    record: Record = {}
    for field in fields:
        if field in COLUMNS:
            record[field] = COLUMNS[field](row)
        elif field in CONTENT:
            record[field] = None if page is None else CONTENT[field](page)
        else:
            record[field] = linking.of(row.url) if linking else []
    return record


def columns_of(row: SettledRow) -> Record:
    """A row with all its COLUMNS."""
    return {field: cell(row) for field, cell in COLUMNS.items()}


def as_jsonl(rows: Iterable[Record]) -> Iterator[str]:
    """One JSON object per line."""
    for record in rows:
        yield json.dumps(record) + "\n"


def as_csv(rows: Iterable[Record], fields: Sequence[str]) -> Iterator[str]:
    """RFC 4180 with a header line; null is an empty cell, URLs of a list are separated by spaces, headers are JSON."""
    writer = csv.writer(_Line())
    yield writer.writerow(fields)
    for record in rows:
        yield writer.writerow([_csv_cell(field, value) for field, value in record.items()])


def _csv_cell(field: str, value: Value) -> Cell:
    if field in ("text", "body") and isinstance(value, str):
        return "\n".join(map(csv_safe, value.splitlines()))
    if isinstance(value, list):
        value = json.dumps(value) if field == "headers" else " ".join(map(str, value))
    return csv_safe(value) if isinstance(value, str) else value


class _Line:
    """A file whose `write` returns the text: csv.writer then returns each line instead of storing it."""

    def write(self, line: str) -> str:
        return line


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
