"""How links, hosts, budgets and cookies become rows of a frontier's file, and what comes back.

Rules:
- Messages without columns of their own (budgets, cookies, links to other shards) are stored as tagged JSON; their tags
  are pinned in crawler/core/messages/stored.py.
- Rows are decoded strictly: one of the errors UNREADABLE means that a row is not what was written.
- A statement stands here if several modules store such rows: the frontier, the move between layouts, the repair.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.messages import Budget, HostNote, HostPlacement, Link, Settled
from crawler.core.urls.canonical import host_of
from crawler.storage.database import from_sql_text, to_sql_text
from crawler.storage.frontier.rows import SettledRow
from crawler.storage.frontier.schema import COLUMNS, sealed

UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, AttributeError)
"""The errors of decoding a damaged row that has no checksum, or whose checksum is not checked."""
NOTHING = {"part": "", "position": 0, "digest": b"", "truncated": "", "unread": ""}
NOTED = "host, robots, robots_until, delay, rest_until, joined, reach, heard, down_for"
NOTE = f"""INSERT INTO host ({NOTED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (host) DO UPDATE SET robots = coalesce(excluded.robots, robots), robots_until = excluded.robots_until,
    delay = excluded.delay, rest_until = excluded.rest_until, joined = max(joined, excluded.joined),
    reach = max(reach, excluded.reach), heard = max(heard, excluded.heard), down_for = excluded.down_for"""
KEEP_COOKIES = "INSERT OR REPLACE INTO cookie (home, cookies) VALUES (?, ?)"
SPENT = f"""INSERT OR REPLACE INTO budget (host, pattern, spent, checksum) VALUES (?1, ?2, ?3,
    {sealed("budget", {"host": "?1", "pattern": "?2", "spent": "?3"})})"""


def host_mark(host: str, seed: int) -> int:
    """The mark of a host in the rows of `url`: 63 bits of xxh3 with the seed of the crawl."""
    return xxh3_64_intdigest(host.encode(), seed) >> 1


def url_row(link: Link, seed: int) -> tuple[int, str, int, int, str | None, int, int]:
    """The row of an admitted link in the table `url`, for ADMIT in sqlite.py; `seed` is that of the crawl."""
    mark = host_mark(host_of(link.url), seed)
    return link.id, link.url, mark, link.depth, encoded_via(link.via), link.attempts, link.status


def encoded_via(via: tuple[str, ...]) -> str | None:
    """The redirects that led to a link, as its column `via`."""
    return json.dumps(via) if via else None


def link_of(row: Sequence[Any]) -> Link:
    """The link of a row (id, url, depth, via, attempts, status). Raises ValueError, TypeError."""
    key, url, depth, via, attempts, status = row
    return Link(key, url, depth, decoded_via(via), attempts, status)


def decoded_via(via: str | None) -> tuple[str, ...]:
    """The redirects in a column `via`. Raises ValueError, TypeError."""
    return tuple(json.loads(via)) if via else ()


def end_row(end: Settled, at: float) -> tuple[object, ...]:
    """What a link came to, as the columns ENDED and its id, for SETTLE in sqlite.py; `at` is Unix time."""
    return (
        end.reason.value,
        end.status,
        end.attempts,
        end.part or None,
        end.position or None,
        end.size,
        end.digest or None,
        end.truncated or None,
        to_sql_text(end.content_type) or None,
        at,
        end.seconds,
        to_sql_text(end.detail) or None,
        end.cut,
        end.unread,
        end.id,
    )


def settled_row_of(values: Sequence[Any]) -> SettledRow:
    """A settled row, from all columns of `url`. Raises ValidationError, ValueError, TypeError."""
    row = dict(zip(COLUMNS["url"], values, strict=True))
    for name in ("content_type", "detail"):
        row[name] = from_sql_text(row[name] or "")
    for name, nothing in NOTHING.items():
        row[name] = row[name] or nothing
    row["url"].encode()  # raises for lone surrogates: no URL has them
    return msgspec.convert(row, SettledRow)


def note_row(note: HostNote) -> tuple[object, ...]:
    """The row of a HostNote, for NOTE."""
    return tuple(getattr(note, name) for name in HostNote.__struct_fields__)


def note_of(row: Sequence[Any]) -> HostNote:
    """The HostNote of a row with the columns NOTED. Raises ValueError, TypeError."""
    host, robots, robots_until, delay, rest_until, joined, reach, heard, down_for = row
    return HostNote(
        host, robots, robots_until, delay, rest_until, bool(joined), HostPlacement(reach), bool(heard), float(down_for)
    )


def spent_rows(budgets: Iterable[Budget]) -> list[tuple[str, int, str]]:
    """Budgets as rows; of several for one pattern the last."""
    last = {(it.host, it.pattern): it for it in budgets}
    return [(it.host, it.pattern, msgspec.json.encode(it).decode()) for it in last.values()]


def max_budgets(budgets: Iterable[Budget]) -> dict[tuple[str, int], Budget]:
    """The budgets of several shards, by (host, pattern). Of two for one pattern the larger counts: a host may get
    somewhat more fetches than its budget, never fewer."""
    found: dict[tuple[str, int], Budget] = {}
    for budget in budgets:
        key = budget.host, budget.pattern
        found[key] = max(budget, found.get(key, budget), key=lambda one: one.pages)
    return found
