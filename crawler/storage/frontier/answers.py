"""The events that a frontier returns for a batch after its commit.

Rules:
- The DedupResult for undetermined links comes first: a Refill may contain those of them that were new, and the Crawl
  must know them before it takes the Refill.
- Only committed rows are read, so a kill cannot undo a link that was returned.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from crawler.core.messages import CookieNote, DedupResult, Event, HostNote, HostScanResult, Link, Refill, RefillRequest
from crawler.storage.frontier.base import Batch, Frontier


def answers(frontier: Frontier, batch: Batch, new: list[Link], to_now: float) -> Iterator[Event]:
    """The events for a committed batch; `new` are those of its undetermined links that were new. `to_now`: seconds from
    Unix time to the clock of the Crawl. Raises StorageError."""
    if batch.undetermined:
        seeds = sum(link.depth == 0 for link in batch.undetermined) - sum(link.depth == 0 for link in new)
        yield DedupResult(tuple(new), len(batch.undetermined) - len(new), seeds)
    if batch.refill_requests:
        last = frontier.next_id() - 1
        for hungry in batch.refill_requests:
            yield _offer(frontier, hungry, last, to_now)
    if batch.search is not None:
        hosts = frontier.hosts(batch.search.after, batch.search.count)
        yield HostScanResult(tuple(hosts), end=len(hosts) < batch.search.count)


def _offer(frontier: Frontier, hungry: RefillRequest, last: int, to_now: float) -> Refill:
    links = frontier.pending(hungry.host, hungry.after, hungry.count)
    more = len(links) == hungry.count
    upto = links[-1].id if more else last
    if not hungry.first:
        return Refill(hungry.host, tuple(links), upto, more)
    note = frontier.note(hungry.host)
    links = [*frontier.retried(hungry.host), *links]
    return Refill(hungry.host, tuple(links), upto, more, note and to_clock(note, to_now), frontier.budgets(hungry.host))


def to_clock(note: HostNote, seconds: float) -> HostNote:
    """A note with its times shifted by `seconds` to another clock."""
    return replace(note, robots_until=note.robots_until + seconds, rest_until=note.rest_until + seconds)


def cookies_to_clock(note: CookieNote, seconds: float) -> CookieNote:
    """Cookies with their times shifted by `seconds` to another clock."""
    moved = (one if one.until is None else replace(one, until=one.until + seconds) for one in note.cookies)
    return CookieNote(note.home, tuple(moved))
