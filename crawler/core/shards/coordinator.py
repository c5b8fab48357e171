"""The coordinator of a crawl of several shards: routes their messages, grants pages, detects the end.

Rules:
- A star: every message between two shards goes through here, in order. What a shard sends to all is remembered, so that
  a shard that restarts gets it, too, before anything that was sent later.
- The crawl is over when every shard has reported that it is quiet after reading all that was sent to it: only a message
  from here could wake it, and there is none. No time-outs, no second round of counting.
- The page budget is granted in blocks, smaller as it runs out. A shard that has no use for pages returns them; one that
  crashes has spent what its frontier has recorded. So the budget is never exceeded, and its last page can be used.
- So is the budget of a domain that several shards ask (crawler/core/traps/domain_limits.py), but nothing is returned.
  What a shard has left when it runs out of URLs of the domain is not used: about one part in 8 * shards of the budget,
  and not more than MOST_GRANTED and a half.
- Links to a shard that is not running are dropped: their senders keep them until they are acknowledged, and send them
  again when it is `ShardRestarted`.
- Limits that are set while the crawl runs go to all shards. A host with a delay, or with fewer connections than
  there are shards, must be asked by one shard alone; once that was so it stays so (`reclaim`), also for a shard that
  restarts: if shards disagreed on it, they would pass links to and fro.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from crawler.core.messages import (
    DomainQuotaGranted,
    Event,
    HostNote,
    HostNoteShared,
    LiveLimits,
    Message,
    QuotaGranted,
    SeedsSettled,
    ShardRestarted,
)
from crawler.core.shards.shard import merge_notes

MOST_GRANTED = 64
MOST_DOMAINS = 100_000


class Posted(Message, frozen=True):
    """An event for one other shard."""

    to: int
    event: Event


class DomainQuotaWanted(Message, frozen=True):
    """A shard needs more pages of this domain to ask for."""

    domain: str


class Status(Message, frozen=True):
    """The state of a shard, as its `ShardOutput` has it, after reading so many events; `size` in bytes."""

    read: int
    quiet: bool = False
    wants: bool = False
    returned: int = 0
    seeds_settled: bool = False
    size: int = 0


Outgoing = tuple[int, Event]
"""The receiving shard, and the event."""
Verdict = HostNoteShared | SeedsSettled | LiveLimits


class ShardCoordinator:
    """`pages` may still be asked for (None: any number), about `size` bytes be stored, `per_domain` pages be asked for
    of each domain; `notes` were shared by earlier runs, which asked for so many pages of `domains`."""

    def __init__(
        self,
        shards: int,
        pages: int | None,
        size: int | None,
        notes: tuple[HostNote, ...] = (),
        per_domain: int = 0,
        domains: Mapping[str, int] | None = None,
    ) -> None:
        self._count = shards
        self._left = pages
        self._most_bytes = size
        self._per_domain = per_domain
        self._domains = dict(domains or {})
        self._granted = [0] * shards
        self._started: dict[int, int] = {}
        self._sent = [0] * shards
        self._status: list[Status | None] = [None] * shards  # None: not running, or no report yet
        self._wanting: dict[int, None] = {}
        self._notes: dict[str, HostNote] = {}
        for note in notes:
            self._notes[note.host] = merge_notes(self._notes.get(note.host), note)
        self._seeds_settled = False
        self._limits: LiveLimits | None = None

    def verdicts(self) -> list[Verdict]:
        """What a shard must receive before any other event."""
        told: list[Verdict] = [HostNoteShared(note) for note in self._notes.values()]
        if self._seeds_settled:
            told.append(SeedsSettled())
        return told if self._limits is None else [*told, self._limits]  # last: they change what notes say

    def shard_started(self, shard: int, started: int) -> list[Outgoing]:
        """A shard starts or restarts, and has received the verdicts. It has asked for `started` pages in all its runs.
        Returns what to send to which shard."""
        missed = shard in self._started or self._sent[shard] > 0  # what was sent to it before now was dropped
        if self._left is not None:
            used = started - self._started.setdefault(shard, started)
            self._left += self._granted[shard] - used
        self._started[shard] = started
        self._granted[shard] = self._sent[shard] = 0
        self._status[shard] = None
        self._wanting.pop(shard, None)
        others = [other for other in range(self._count) if other != shard and missed]
        return [self._count_out(other, ShardRestarted(shard)) for other in others] + self._grant()

    def note(self, sender: int, note: HostNote) -> list[Outgoing]:
        """A shard shares a note of a host: returns it addressed to all others."""
        self._notes[note.host] = merge_notes(self._notes.get(note.host), note)
        return [self._count_out(other, HostNoteShared(note)) for other in range(self._count) if other != sender]

    def limit(self, limits: LiveLimits) -> list[Outgoing]:
        """Limits that are set while the crawl runs: returns them addressed to all shards that were started."""
        alone = limits.delay > 0 or (limits.per_host is not None and limits.per_host < self._count)
        before = self._limits is not None and self._limits.reclaim
        self._limits = replace(limits, reclaim=alone or before)
        return [self._count_out(shard, self._limits) for shard in self._started]

    def route(self, posted: Posted) -> Outgoing:
        """Address an event to one other shard, and count it."""
        return self._count_out(posted.to, posted.event)

    def grant_domain(self, shard: int, wanted: DomainQuotaWanted) -> list[Outgoing]:
        """A shard needs pages of a domain: grants a block, of 0 pages where nothing is left."""
        granted = self._domains.get(wanted.domain, 0)
        left = max(0, self._per_domain - granted)
        pages = min(left, MOST_GRANTED, max(1, left // (8 * self._count)))
        if len(self._domains) >= MOST_DOMAINS:  # those of which little was asked for begin anew
            kept = sorted(self._domains.items(), key=lambda one: one[1])[-MOST_DOMAINS // 2 :]
            self._domains = dict(kept)
        self._domains[wanted.domain] = granted + pages
        return [self._count_out(shard, DomainQuotaGranted(wanted.domain, pages, granted + pages))]

    def update_status(self, shard: int, status: Status) -> list[Outgoing]:
        """A shard reports its state. Returns what to send to which shard."""
        told: list[Outgoing] = []
        self._status[shard] = status
        if self._left is not None and status.returned:
            self._left += status.returned
            self._granted[shard] -= status.returned
        if status.wants:
            self._wanting[shard] = None
        else:
            self._wanting.pop(shard, None)
        if not self._seeds_settled and all(one is not None and one.seeds_settled for one in self._status):
            self._seeds_settled = True
            told += [self._count_out(each, SeedsSettled()) for each in range(self._count)]
        return told + self._grant()

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself, or the limit of stored bytes is reached."""
        if self._most_bytes is not None and sum(one.size for one in self._status if one) >= self._most_bytes:
            return True
        return all(
            one is not None and one.quiet and one.read == sent
            for one, sent in zip(self._status, self._sent, strict=True)
        )

    def _grant(self) -> list[Outgoing]:
        told: list[Outgoing] = []
        while self._left and self._wanting:
            shard = next(iter(self._wanting))
            del self._wanting[shard]
            pages = min(self._left, max(1, min(MOST_GRANTED, self._left // (2 * self._count))))
            self._left -= pages
            self._granted[shard] += pages
            told.append(self._count_out(shard, QuotaGranted(pages)))
        return told

    def _count_out(self, to: int, event: Event) -> Outgoing:
        self._sent[to] += 1
        return to, event
