"""Limits for all hosts of one registrable domain: a page budget, and no more new hosts once they repeat the same pages.

A wildcard DNS record (`*.example.org`) gives a domain as many hosts as there are names. As for a single host (see
crawler/core/traps/detector.py) their number alone stops nothing. They are stopped when they bring nothing new while
they name ever new hosts.

Rules:
- In a crawl of several shards each has its share of all the numbers below.
- A domain has `max_domain_pages`: `domain_limit`. With the scopes "site" and "host" each host counts for itself,
  because loading the list of public suffixes takes 50 ms.
- Beyond the first FREE hosts of a domain those that were never asked are on *trial*: AT_ONCE of them at a time, each
  until its first page has come. So there is evidence before thousands are asked for their robots.txt.
- No further host is asked (`repeated_pages`) when fewer than one in RARE of the last TRIALS pages of such hosts were
  new to the domain and at least half of them named new hosts of it. Seeds and samples are still asked; samples grow
  rare.
- The state of a domain survives, with the first KEPT fingerprints. The page count is stored as that of this shard times
  the number of shards.
- Memory is bounded: DOMAINS, REMEMBERED fingerprints of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.messages import Budget, Link
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.traps.detector import KEPT, LIFTED, TOLD, packed, unpacked
from crawler.core.traps.doubts import TRIALS, Trust
from crawler.core.urls.domains import domain_of
from crawler.core.urls.patterns import Rejection

FREE = 20
AT_ONCE = 8
TRIAL = 30.0
"""Seconds after which a host that has brought no page yet no longer makes others wait."""
PAUSE = 0.02
LONGEST_PAUSE = 5.0
DOMAINS = 1000
REMEMBERED = 1000
HOME = "://domains"
"""Takes the place of the host in the budgets of domains."""


class Domain(msgspec.Struct):
    """What was asked for of one domain. `trials` maps each host on trial to the time at which its trial began."""

    name: str
    pages: int = 0
    told: int = 0
    hosts: int = 0
    waiting: int = 0
    trust: Trust = msgspec.field(default_factory=Trust)
    known: dict[int, None] = {}
    trials: dict[str, float] = {}


class DomainLimits:
    """What the domains of a crawl may still be asked for."""

    def __init__(self, rules: Rules, shards: int = 1) -> None:
        self._shards = shards
        self._limit = max(1, rules.max_domain_pages // shards)
        self._trials = max(16, TRIALS // shards)
        self._free = max(4, FREE // shards)
        self._at_once = max(2, AT_ONCE // shards)
        self._has_domains = rules.scope in ("domain", "any")
        self._is_wide = rules.scope in ("domain", "any") and rules.pattern_pages <= LIFTED
        self._domains: dict[str, Domain] = {}
        self._budgets: list[Budget] = []

    def refuses(self, host: str, link: Link, is_asked: bool) -> Rejection | None:
        """Why a link must not be asked for, None where it may; `is_asked`: its host was asked before."""
        domain = self._of(host)
        if domain.pages >= self._limit:
            return Reason.DOMAIN_LIMIT, ""
        if is_asked or not link.depth or not self._is_wide or domain.hosts < self._free:
            return None
        trust = domain.trust
        if not trust.is_lost(self._trials) or trust.samples():
            return None
        seen = min(trust.landed, TRIALS)
        return (
            Reason.REPEATED_PAGES,
            f"a new host of {domain.name}, where {trust.worth.bit_count()} of {seen} pages were new",
        )

    def pause(self, host: str, is_asked: bool, now: float) -> float:
        """Seconds that a host waits because others are on trial; 0.0 where it may be asked now."""
        domain = self._of(host)
        if is_asked or not self._is_wide or domain.hosts < self._free or host in domain.trials:
            return 0.0
        for name, began in list(domain.trials.items()):
            if began + TRIAL <= now:
                del domain.trials[name]
        if len(domain.trials) < self._at_once:
            domain.waiting = 0
            return 0.0
        domain.waiting += 1
        return min(LONGEST_PAUSE, PAUSE * domain.waiting)

    def start(self, host: str, is_asked: bool, is_page: bool, now: float) -> None:
        """Count a request to a host; `is_page`: for a page that counts."""
        domain = self._of(host)
        if is_page:
            domain.pages += 1
            if domain.pages - domain.told >= TOLD * 4:
                self._budgets.append(self._told(domain))
        if not is_asked and host not in domain.trials:
            domain.hosts += 1
            if self._is_wide and domain.hosts > self._free:
                domain.trials[host] = now

    def land(self, host: str, loose: int | None, names_hosts: bool) -> None:
        """Count a page of a host: its loose fingerprint, and whether it named new hosts of its domain."""
        domain = self._of(host)
        on_trial = domain.trials.pop(host, None) is not None
        if loose is None or not self._is_wide:
            return
        is_new = loose not in domain.known
        if len(domain.known) < REMEMBERED:
            domain.known[loose] = None
        if on_trial or domain.hosts > self._free:
            domain.trust.asked += 1
            domain.trust.land(is_new, names_hosts)

    def _of(self, host: str) -> Domain:
        name = domain_of(host) if self._has_domains else host
        domain = self._domains.get(name)
        if domain is None:
            if len(self._domains) >= DOMAINS:
                kept = sorted(self._domains.values(), key=lambda one: one.pages)[-DOMAINS // 2 :]
                self._domains = {one.name: one for one in kept}
            domain = self._domains[name] = Domain(name)
        return domain

    # ---- memory ------------------------------------------------------------------------------------------------------

    def drain(self, at_the_end: bool) -> Iterator[Budget]:
        """The budgets that the frontier must store."""
        yield from self._budgets
        self._budgets = []
        for domain in self._domains.values() if at_the_end else ():
            if domain.pages > domain.told:
                yield self._told(domain)

    def recall(self, budgets: tuple[Budget, ...]) -> None:
        """Restore the budgets that an earlier run stored."""
        for it in budgets:
            hosts, asked, refused, landed, worth, naming = it.evidence
            trust = Trust(asked, refused, landed, worth, naming)
            pages = it.pages // self._shards
            known = dict.fromkeys(unpacked(it.texts))
            self._domains[it.stopped] = Domain(it.stopped, pages, pages, hosts, trust=trust, known=known)

    def _told(self, domain: Domain) -> Budget:
        domain.told = domain.pages
        trust = domain.trust
        evidence = (domain.hosts, trust.asked, trust.refused, trust.landed, trust.worth, trust.naming)
        mark = xxh3_64_intdigest(domain.name.encode()) >> 1
        known = packed(islice(domain.known, KEPT))
        return Budget(HOME, mark, domain.pages * self._shards, texts=known, stopped=domain.name, evidence=evidence)
