"""The choice of a re-crawl among the pages that it knows.

Rules:
- The choice is made once, at the start of a generation, for one moment: a generation that is resumed later does not
  choose again.
- Seeds and sitemaps are always asked for, and so is every URL without a stored page: only they tell what is new. None
  of them counts against the budget.
- Where the sitemaps of a host can be trusted (crawler/core/revisit/lastmod.py), a page that they date anew is due at
  once, and worth a visit as one that has changed.
- What the pages of a host say of each other is learnt from at most SAMPLE of them, those with the lowest hashes.
- The dates that the pages of a host bear (Last-Modified) are used once LEAST visits found that the content or the date
  had changed, and in SHARE of these both had. Many servers send the time of the request, or of the last deployment.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from crawler.core.revisit.change_rate import Observation, Weights, belief, likelihood, prior
from crawler.core.revisit.due import Known, RevisitBounds, due_at
from crawler.core.revisit.lastmod import LastmodScore
from crawler.core.revisit.worth import Candidate, expected_worth, worth_of_change
from crawler.core.urls.canonical import host_of

SAMPLE = 100
LEAST = 5
SHARE = 0.8
JUST_NOW = 60.0
"""Seconds. A change dated later than that before the answer is taken for the time of the request."""
NO_SCORES: Mapping[str, LastmodScore] = {}


class HostChanges(NamedTuple):
    """What is known of the changes of a host's pages: the mixture of their rates, and whether their dates can be
    trusted."""

    prior: Weights
    dated: bool


class DateScore(NamedTuple):
    """How many visits found that content or date had changed, and how many found both."""

    either: int = 0
    both: int = 0

    def after(self, visits: Iterable[Observation]) -> DateScore:
        """The score with the visits of one more page. Those without a date, and first ones, tell nothing."""
        told = [one for one in visits if one.since >= 0.0 and not one.is_first]
        either = sum(one.changed or one.moved for one in told)
        both = sum(one.changed and one.moved and one.since >= JUST_NOW for one in told)
        return DateScore(self.either + either, self.both + both)

    @property
    def trusted(self) -> bool:
        """Whether dates tell when pages changed."""
        return self.either >= LEAST and self.both >= SHARE * self.either


def hosts_of(pages: Iterable[tuple[str, Known]]) -> dict[str, HostChanges]:
    """What is known of each host; `pages` come host by host, as they do in the order of their URLs."""
    return {name: _host(group) for name, group in groupby(pages, key=lambda page: host_of(page[0]))}


def candidates(
    pages: Iterable[tuple[str, Known]],
    hosts: Mapping[str, HostChanges],
    bounds: RevisitBounds,
    now: float,
    lastmods: Mapping[str, LastmodScore] = NO_SCORES,
) -> Iterator[Candidate]:
    """What a visit at `now` (Unix seconds) is worth for each page, and when it is due. `lastmods`: how true the dates
    of each host's sitemaps were."""
    for url, known in pages:
        name = host_of(url)
        host = hosts[name]
        believed = belief(likelihood(known.visits, host.dated), host.prior)
        worth = expected_worth(believed, now - known.visited_at) if known.visited_at else math.inf
        due = due_at(url, known, believed, bounds)
        if known.moved and known.visited_at and lastmods.get(name, LastmodScore()).trusted:
            worth, due = worth_of_change(believed), min(due, now)
        yield Candidate(url, worth, due)


def _host(pages: Iterable[tuple[str, Known]]) -> HostChanges:
    score = DateScore()

    def scored() -> Iterator[tuple[int, str, tuple[Observation, ...]]]:
        nonlocal score
        for url, known in pages:
            score = score.after(known.visits)
            yield xxh3_64_intdigest(url.encode(errors="surrogatepass")), url, known.visits

    sample = heapq.nsmallest(SAMPLE, scored(), key=lambda page: page[:2])
    return HostChanges(prior([likelihood(visits, score.trusted) for *_, visits in sample]), score.trusted)
