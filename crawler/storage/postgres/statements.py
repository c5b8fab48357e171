"""The statements that write a batch to PostgreSQL, and how a batch becomes their arguments.

Rules:
- What there is much of (new links, ends, retries) goes in one statement with an array for each column, which the server
  prepares after a few commits.
- None of them needs the result of another, so a batch is one pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from crawler.core.messages import HostNote, Link, Settled
from crawler.core.urls.canonical import host_of
from crawler.storage.frontier.encoding import NOTED, encoded_via, host_mark
from crawler.storage.postgres.schema import url_mark

Values = Mapping[str, Any]
OURS = "crawl = %(crawl)s AND shard = %(shard)s"
NEW = {
    "id": "bigint",
    "url": "text",
    "mark": "uuid",
    "host": "bigint",
    "depth": "integer",
    "via": "text",
    "attempts": "integer",
    "status": "integer",
}
ENDED = {
    "id": "bigint",
    "reason": "text",
    "status": "integer",
    "attempts": "integer",
    "part": "text",
    "position": "bigint",
    "size": "bigint",
    "digest": "bytea",
    "truncated": "text",
    "content_type": "bytea",
    "seconds": "double precision",
    "detail": "bytea",
    "cut": "integer",
    "unread": "text",
}
TRIED = {"id": "bigint", "attempts": "integer", "status": "integer"}
TOO_DEEP = {"url": "text", "mark": "uuid", "depth": "integer", "via": "text"}


def _rows(columns: Mapping[str, str], name: str) -> str:
    """SQL for a table `name` of arguments that are arrays, one for each column."""
    arrays = ", ".join(f"%({column})s::{kind}[]" for column, kind in columns.items())
    return f"unnest({arrays}) WITH ORDINALITY AS {name}({', '.join(columns)}, place)"


ADMIT = f"""INSERT INTO crawler.url (crawl, shard, {", ".join(NEW)})
    SELECT %(crawl)s, %(shard)s, {", ".join(f"n.{name}" for name in NEW)} FROM {_rows(NEW, "n")} ORDER BY n.place"""
ADMIT_IF_NEW = f"{ADMIT} ON CONFLICT (crawl, shard, mark) DO NOTHING RETURNING id"
RETRY = f"""UPDATE crawler.url AS u SET attempts = n.attempts, status = n.status FROM {_rows(TRIED, "n")}
    WHERE u.crawl = %(crawl)s AND u.shard = %(shard)s AND u.id = n.id"""
SETTLE = f"""UPDATE crawler.url AS u SET settled_at = %(settled_at)s,
    {", ".join(f"{name} = n.{name}" for name in ENDED if name != "id")} FROM {_rows(ENDED, "n")}
    WHERE u.crawl = %(crawl)s AND u.shard = %(shard)s AND u.id = n.id AND u.reason IS NULL"""
KEEP_BEYOND = f"""INSERT INTO crawler.beyond AS kept (crawl, shard, {", ".join(TOO_DEEP)})
    SELECT %(crawl)s, %(shard)s, {", ".join(f"n.{name}" for name in TOO_DEEP)} FROM {_rows(TOO_DEEP, "n")}
    WHERE NOT EXISTS (SELECT 1 FROM crawler.url AS u
        WHERE u.crawl = %(crawl)s AND u.shard = %(shard)s AND u.mark = n.mark)
    ORDER BY n.place
    ON CONFLICT (crawl, shard, mark) DO UPDATE SET depth = excluded.depth, via = excluded.via
    WHERE kept.depth > excluded.depth RETURNING kept.xmax = 0"""
"""Returns true for a new row, false for one that has a smaller depth now, nothing for one that stays."""
FORGET_BEYOND = f"DELETE FROM crawler.beyond WHERE {OURS} AND mark = ANY(%(marks)s::uuid[])"
NOTE = f"""INSERT INTO crawler.host AS known (crawl, shard, {NOTED})
    VALUES (%(crawl)s, %(shard)s, {", ".join(f"%({name})s" for name in NOTED.split(", "))})
    ON CONFLICT (crawl, shard, host) DO UPDATE SET robots = coalesce(excluded.robots, known.robots),
    robots_until = excluded.robots_until, delay = excluded.delay, rest_until = excluded.rest_until,
    joined = greatest(known.joined, excluded.joined), reach = greatest(known.reach, excluded.reach),
    heard = greatest(known.heard, excluded.heard), down_for = excluded.down_for"""
SPENT = """INSERT INTO crawler.budget (crawl, shard, host, pattern, spent)
    VALUES (%(crawl)s, %(shard)s, %(host)s, %(pattern)s, %(spent)s)
    ON CONFLICT (crawl, shard, host, pattern) DO UPDATE SET spent = excluded.spent"""
PASS_ON = f"DELETE FROM crawler.url WHERE {OURS} AND id = ANY(%(ids)s::bigint[]) AND reason IS NULL"
SEND = """INSERT INTO crawler.outbox (crawl, shard, seq, target, foreign_link)
    VALUES (%(crawl)s, %(shard)s, %(seq)s, %(target)s, %(foreign_link)s)
    ON CONFLICT (crawl, shard, seq) DO UPDATE SET target = excluded.target, foreign_link = excluded.foreign_link"""
ACKNOWLEDGE = f"DELETE FROM crawler.outbox WHERE {OURS} AND seq = ANY(%(seqs)s::bigint[])"
KEEP_COOKIES = """INSERT INTO crawler.cookie (crawl, shard, home, cookies)
    VALUES (%(crawl)s, %(shard)s, %(home)s, %(cookies)s)
    ON CONFLICT (crawl, shard, home) DO UPDATE SET cookies = excluded.cookies"""
FORGET_COOKIES = f"DELETE FROM crawler.cookie WHERE {OURS} AND home = ANY(%(homes)s::text[])"
KEEP_META = """INSERT INTO crawler.meta (crawl, shard, key, value)
    VALUES (%(crawl)s, %(shard)s, %(key)s, %(value)s)
    ON CONFLICT (crawl, shard, key) DO UPDATE SET value = excluded.value"""


def to_bytes(text: str) -> bytes:
    """Any text as a value for a column of type bytea."""
    return text.encode("utf-8", "surrogatepass")


def _columns(names: Iterable[str], rows: Sequence[Sequence[object]]) -> dict[str, list[object]]:
    """The columns of some rows, for a statement that takes arrays."""
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def new_links(links: Sequence[Link], seed: int) -> Values:
    """The arguments of ADMIT and ADMIT_IF_NEW, for at least one link."""
    return _columns(NEW, [_new_link(link, seed) for link in links])


def _new_link(link: Link, seed: int) -> tuple[object, ...]:
    mark = host_mark(host_of(link.url), seed)
    via = encoded_via(link.via)
    return link.id, link.url, url_mark(link.url, seed), mark, link.depth, via, link.attempts, link.status


def ended(ends: Sequence[Settled], at: float) -> Values:
    """The arguments of SETTLE, for at least one end; `at` is Unix time."""
    return {"settled_at": at, **_columns(ENDED, [_end(end) for end in ends])}


def _end(end: Settled) -> tuple[object, ...]:
    return (
        end.id,
        end.reason.value,
        end.status,
        end.attempts,
        end.part or None,
        end.position or None,
        end.size,
        end.digest or None,
        end.truncated or None,
        to_bytes(end.content_type) or None,
        float(end.seconds),
        to_bytes(end.detail) or None,
        end.cut,
        end.unread and end.unread.value,
    )


def tried(links: Iterable[Link]) -> Values:
    """The arguments of RETRY, for at least one link; of several for one id the last counts."""
    last = {link.id: link for link in links}
    return _columns(TRIED, [(link.id, link.attempts, link.status) for link in last.values()])


def too_deep(links: Iterable[Link], seed: int) -> Values:
    """The arguments of KEEP_BEYOND, for at least one link; each URL once, with the smallest depth."""
    nearest: dict[str, Link] = {}
    for link in links:
        known = nearest.get(link.url)
        if known is None or link.depth < known.depth:
            nearest[link.url] = link
    rows = [(it.url, url_mark(it.url, seed), it.depth, encoded_via(it.via)) for it in nearest.values()]
    return _columns(TOO_DEEP, rows)


def note_values(note: HostNote) -> dict[str, object]:
    """The arguments of NOTE."""
    values: dict[str, object] = dict(zip(NOTED.split(", "), msgspec.structs.astuple(note), strict=True))
    robots = None if note.robots is None else to_bytes(note.robots)
    return values | {
        "robots": robots,
        "joined": int(note.joined),
        "reach": int(note.reach),
        "heard": int(note.heard),
    }
