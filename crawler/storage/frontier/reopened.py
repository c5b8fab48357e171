"""What the reopening of settled rows has found: counts for people, parts for the sweep, budgets to give back."""

from __future__ import annotations

from collections import Counter

import msgspec

from crawler.core.messages import Budget, Reason, Settled
from crawler.core.reopening import pick, relieved
from crawler.core.settling import read_back
from crawler.core.traps.domain_limits import HOME
from crawler.core.urls.canonical import host_of
from crawler.storage.frontier.rows import SettledRow

BRAKES = (Reason.REPEATED_PAGES, Reason.SAME_PAGES, Reason.ENDLESS)


class Reopened(msgspec.Struct):
    """`ids` of the rows, how many by name, the `parts` that their pages were in; by host how many had been asked for
    (`asked`), the `hosts` of all, those with pages of a stopped pattern among them (`restarted`), and those whose
    robots.txt had forbidden one (`forbidden`): it is asked for anew."""

    ids: list[int] = msgspec.field(default_factory=list)
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    parts: set[str] = msgspec.field(default_factory=set)
    asked: Counter[str] = msgspec.field(default_factory=Counter)
    restarted: set[str] = msgspec.field(default_factory=set)
    hosts: set[str] = msgspec.field(default_factory=set)
    forbidden: set[str] = msgspec.field(default_factory=set)

    def take(self, words: frozenset[str], row: SettledRow) -> Settled | None:
        """Take a row in if it is asked again: what the tally must take back."""
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
        """The budget as it is from now on; None: it begins anew."""
        return relieved(budget, self.asked[budget.host], budget.host in self.restarted)


def as_settled(row: SettledRow) -> Settled:
    """A row as the message that it came from, as far as a tally counts it."""
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
    )
