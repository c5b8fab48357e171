"""Limits for all hosts of one registrable domain: a page budget, and no more new hosts once they repeat the same pages.

A wildcard DNS record (`*.example.org`) gives a domain as many hosts as there are names. As for a single host (see
crawler/core/traps/detector.py) their number alone stops nothing. They are stopped when they bring nothing new while
they name ever new hosts.

Rules:
- A domain has `max_domain_pages`: `domain_limit`. With the scopes "site" and "host" each host counts for itself,
  because loading the list of public suffixes takes 50 ms.
- In a crawl of several shards the one that alone asks such a host counts its pages. Where several shards ask a domain,
  each asks for pages that the coordinator granted it, and wants the next block when half of the last one is spent. It
  counts all that was granted to any shard as asked for, so in no run and in no mode is it more than `max_domain_pages`.
- Of all the numbers below each shard has its share.
- Beyond the first FREE hosts of a domain those that were never asked are on *trial*: AT_ONCE of them at a time, each
  until its first page has come. So there is evidence before thousands are asked for their robots.txt.
- No further host is asked (`repeated_pages`) when fewer than one in RARE of the last TRIALS pages of such hosts were
  new to the domain and at least half of them named new hosts of it. Seeds and samples are still asked; samples grow
  rare.
- The state of a domain survives, with the first KEPT fingerprints. Each shard stores the page count of all shards, as
  far as it knows it; the largest one is right.
- Memory is bounded: DOMAINS, REMEMBERED fingerprints of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.messages import Budget, DomainQuotaGranted, Link
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
    """What was asked for of one domain. `trials` maps each host on trial to the time at which its trial began. Where
    other shards ask it, too: `granted` pages may still be asked for here, of which `block` came last; `wants` more; all
    have been granted (`is_spent`)."""

    name: str
    pages: int = 0
    granted: int = 0
    block: int = 0
    wants: bool = False
    is_spent: bool = False
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
        self._limit = rules.max_domain_pages
        self._trials = max(16, TRIALS // shards)
        self._free = max(4, FREE // shards)
        self._at_once = max(2, AT_ONCE // shards)
        self._has_domains = rules.scope in ("domain", "any")
        self._is_wide = rules.scope in ("domain", "any") and rules.pattern_pages <= LIFTED
        self._domains: dict[str, Domain] = {}
        self._budgets: list[Budget] = []
        self._wanted: list[str] = []

    def refuses(self, host: str, link: Link, is_asked: bool, is_alone: bool = True) -> Rejection | None:
        """Why a link must not be asked for, None where it may; `is_asked`: its host was asked before; `is_alone`: no
        other shard asks it."""
        domain = self._of(host)
        if domain.granted <= 0 and domain.is_spent if self._is_granted(is_alone) else domain.pages >= self._limit:
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

    def pause_for_grant(self, host: str, is_alone: bool) -> float:
        """Seconds that a host waits for pages of its domain to be granted; 0.0 where some are left."""
        if not self._is_granted(is_alone):
            return 0.0
        domain = self._of(host)
        if domain.granted <= domain.block // 2 and not (domain.wants or domain.is_spent):
            domain.wants = True
            self._wanted.append(domain.name)
        return PAUSE if domain.granted <= 0 and not domain.is_spent else 0.0

    def grant(self, event: DomainQuotaGranted) -> None:
        """The coordinator has granted pages of a domain."""
        domain = self._domain(event.domain)
        domain.granted += event.pages
        domain.block, domain.wants, domain.is_spent = event.pages, False, not event.pages
        self._count(domain, event.total - domain.pages)

    def drain_wanted(self) -> list[str]:
        """The domains of which the coordinator must grant more pages."""
        wanted, self._wanted = self._wanted, []
        return wanted

    def _is_granted(self, is_alone: bool) -> bool:
        return self._shards > 1 and (self._has_domains or not is_alone)

    def _count(self, domain: Domain, pages: int) -> None:
        domain.pages += max(0, pages)
        if domain.pages - domain.told >= TOLD * 4:
            self._budgets.append(self._told(domain))

    def start(self, host: str, is_asked: bool, is_page: bool, now: float, is_alone: bool = True) -> None:
        """Count a request to a host; `is_page`: for a page that counts."""
        domain = self._of(host)
        if is_page and self._is_granted(is_alone):
            domain.granted -= 1
        elif is_page:
            self._count(domain, 1)
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
        return self._domain(domain_of(host) if self._has_domains else host)

    def _domain(self, name: str) -> Domain:
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
            known = dict.fromkeys(unpacked(it.texts))
            self._domains[it.stopped] = Domain(
                it.stopped, it.pages, told=it.pages, hosts=hosts, trust=trust, known=known
            )

    def _told(self, domain: Domain) -> Budget:
        domain.told = domain.pages
        trust = domain.trust
        evidence = (domain.hosts, trust.asked, trust.refused, trust.landed, trust.worth, trust.naming)
        mark = xxh3_64_intdigest(domain.name.encode()) >> 1
        known = packed(islice(domain.known, KEPT))
        return Budget(HOME, mark, domain.pages, texts=known, stopped=domain.name, evidence=evidence)
