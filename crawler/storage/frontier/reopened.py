"""The result of reopening settled rows: counts for people, parts to sweep, budgets to reduce."""

from __future__ import annotations

from collections import Counter

import msgspec

from crawler.core.messages import Budget, Settled
from crawler.core.reasons import Reason
from crawler.core.reopening import pick, relieved
from crawler.core.settling import read_back
from crawler.core.traps.domain_limits import HOME
from crawler.core.urls.canonical import host_of
from crawler.storage.frontier.rows import SettledRow

BRAKES = (Reason.REPEATED_PAGES, Reason.SAME_PAGES, Reason.ENDLESS)


class Reopened(msgspec.Struct):
    """`ids` of the rows, `counts` by name, the `parts` of their pages; the number of fetched ones by host (`asked`),
    all `hosts`, those with pages of a stopped pattern (`restarted`), and those whose robots.txt had forbidden one
    (`forbidden`): their robots.txt is fetched again."""

    ids: list[int] = msgspec.field(default_factory=list)
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    parts: set[str] = msgspec.field(default_factory=set)
    asked: Counter[str] = msgspec.field(default_factory=Counter)
    restarted: set[str] = msgspec.field(default_factory=set)
    hosts: set[str] = msgspec.field(default_factory=set)
    forbidden: set[str] = msgspec.field(default_factory=set)

    def take(self, words: frozenset[str], row: SettledRow) -> Settled | None:
        """Add a row if `words` select it; returns what the tally must subtract, or None."""
        name = pick(words, row)
        if name is None:
            return None
        self.ids.append(row.id)
        self.counts[name] += 1
        self.hosts.add(host_of(row.url))
        if row.part:
            self.parts.add(row.part)
        if row.attempts:
            self.asked[host_of(row.url)] += 1
        if row.reason is Reason.ROBOTS:
            self.forbidden.add(host_of(row.url))
        if row.reason in BRAKES:
            self.restarted |= {host_of(row.url), HOME}
        return as_settled(row)

    def relieve(self, budget: Budget) -> Budget | None:
        """The reduced budget; None where it restarts from zero."""
        return relieved(budget, self.asked[budget.host], budget.host in self.restarted)


def as_settled(row: SettledRow) -> Settled:
    """The Settled message of a row, with the fields that a tally counts."""
    unread, cut = read_back(row.status, row.detail)
    return Settled(
        row.id,
        row.url,
        row.reason,
        row.status,
        row.attempts,
        row.size or 0,
        row.digest,
        row.part,
        row.position,
        row.truncated,
        cut,
        unread=unread,
        seed=row.depth == 0,
        not_modified=row.not_modified,
        carried=row.carried,
    )
