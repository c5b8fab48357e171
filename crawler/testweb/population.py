"""The hosts of a profile web, computed from the seed before anything is served.

- Hosts are listed by size, largest first; popularity follows the same order.
- The pages of a host are numbered as in `WebSite`. The last numbers are the odd ones (moved, missing, broken, not
  HTML): leaves of the tree, so no other page is reachable only through them.
- The failures of a host must not depend on the order of requests. So those that a crawler may count against the host
  (5xx, resets, timeouts) are at most `MOST_FAILURES` in all, one fewer than the number at which a host is given up.
  Further ones become a truncated body or a 429, which do not count.
- Sick hosts come right after the largest tenth: they are of about average size, so their errors are half of all. Hosts
  that never answer, and those with a Crawl-delay, come after them, so that no crawl waits for a very large host.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from crawler.testweb.draw import SeededRandom
from crawler.testweb.parameters import Parameters
from crawler.testweb.site import WebSite
from crawler.testweb.tables import STEPS, lognormal, power_law

MOST_FAILURES = 19
NEVER = 4
_LINKS_CAP = 3
_CLUSTER = 3


class PopulationRules(StrEnum):
    """The answer to a request for robots.txt."""

    STATED = "200"
    MISSING = "404"
    FORBIDDEN = "403"
    FAILING = "503"
    HANGING = "no answer"
    REFUSING = "refused"


CLOSED = frozenset({PopulationRules.FAILING, PopulationRules.HANGING, PopulationRules.REFUSING})


class Kind(StrEnum):
    """The answer of an odd URL: always, or until it heals."""

    MOVED = "moved"
    ELSEWHERE = "elsewhere"
    MISSING = "404"
    GONE = "410"
    FORBIDDEN = "403"
    NOT_HTML = "no HTML"
    ERROR_500 = "500"
    ERROR_503 = "503"
    ERROR_429 = "429"
    RESET = "reset"
    TRUNCATED = "truncated"
    DRIP = "drip"
    HANG = "hang"
    STALL = "stall"


_COUNTED = frozenset({Kind.ERROR_500, Kind.ERROR_503, Kind.RESET, Kind.HANG})
_HEALING = frozenset({Kind.TRUNCATED, Kind.DRIP, Kind.STALL})  # unhealed, a part would be stored


class Odd(msgspec.Struct, frozen=True):
    """One odd URL; `heals` is the attempt that gets a good answer."""

    kind: Kind
    heals: int = NEVER


class Place(msgspec.Struct, frozen=True):
    """One host: `plain` ordinary pages, then the odd ones, and `private` more that robots.txt forbids.

    `latency` and `crawl_delay` are in seconds, `links` is the mean number of hrefs of a page. The leaves from number
    `same_from` to `plain` share their bodies in clusters.
    """

    index: int
    name: str
    site: WebSite
    latency: float
    links: int
    rules: PopulationRules
    sick: bool
    crawl_delay: float
    private: int
    trapped: bool
    odd: tuple[Odd, ...]
    same_from: int

    @property
    def plain(self) -> int:
        """Number of ordinary pages."""
        return self.site.size - len(self.odd)

    def cluster(self, k: int) -> int | None:
        """The cluster of equal bodies that page k belongs to, None where it has its own body."""
        return (k - self.same_from) // _CLUSTER if self.same_from <= k < self.plain else None


def populate(seed: int, numbers: Parameters, domain: str) -> list[Place]:
    """All hosts. Raises ValueError where there are more hosts than pages."""
    sizes = power_law(numbers.hosts, numbers.pages, numbers.size_exponent, numbers.largest_host)
    tenth = numbers.hosts // 10
    sick = range(tenth, tenth + round(numbers.sick * numbers.hosts))
    failures = numbers.errors / (1 - min(numbers.errors, 0.5)) * numbers.pages  # `errors` includes failed attempts
    broken = failures / _failures_each(numbers)
    in_sick = numbers.sick_errors * sum(sizes[n] for n in sick)
    well = max(1, numbers.pages - sum(sizes[n] for n in sick))
    elsewhere = max(0.0, broken - in_sick) / well
    return [
        _place(
            seed,
            numbers,
            index,
            f"host-{index:05d}.{domain}",
            size,
            index in sick,
            numbers.sick_errors if index in sick else elsewhere,
            small=index >= sick.stop and numbers.hosts > 1,
        )
        for index, size in enumerate(sizes)
    ]


def _failures_each(numbers: Parameters) -> float:
    """Failed attempts per broken URL."""
    second, third = numbers.healed_second, numbers.healed_third
    return second + 2 * third + 3 * (1 - second - third)


def _place(
    seed: int, numbers: Parameters, index: int, name: str, size: int, sick: bool, errors: float, *, small: bool
) -> Place:
    dice = SeededRandom(seed, "place", index)
    branch, salt = 4 + dice.below(5), dice.below(1000)
    site = WebSite(size=size, branch=branch, salt=salt)
    links = lognormal(numbers.links, numbers.links_sigma, 1, _LINKS_CAP * numbers.links)
    latency = lognormal(numbers.latency * 1e6, numbers.latency_sigma)
    rules, trapped = _rules(numbers, dice.below(100_000) / 100_000, small), index < numbers.traps * numbers.hosts
    rules = PopulationRules.STATED if trapped else rules
    odd = _odd(numbers, size, errors, dice)[: size - max(1, -(-size // branch))]
    plain = size - len(odd)
    first_leaf = max(1, -(-(size - 1) // branch))
    shared = _count((numbers.duplicates + numbers.near_duplicates) * size, dice)
    hidden = numbers.disallowed / (1 - numbers.disallowed) * size / max(1e-9, 1 - numbers.robots_missing)
    delayed = small and dice.below(100_000) < numbers.crawl_delays * 100_000
    return Place(
        index=index,
        name=name,
        site=site,
        latency=latency[dice.below(STEPS)] / 1e6 * numbers.latency_scale,
        links=links[dice.below(STEPS)],
        rules=rules,
        sick=sick,
        crawl_delay=numbers.crawl_delay * numbers.latency_scale if delayed and rules is PopulationRules.STATED else 0.0,
        private=_count(hidden, dice) if rules is PopulationRules.STATED else 0,
        trapped=trapped,
        odd=odd,
        same_from=max(first_leaf, plain - shared) if shared > 1 else plain,
    )


def _rules(numbers: Parameters, drawn: float, small: bool) -> PopulationRules:
    silent = numbers.robots_silent / 2
    shares = [(PopulationRules.MISSING, numbers.robots_missing), (PopulationRules.FORBIDDEN, numbers.robots_forbidden)]
    if small:
        shares += [
            (PopulationRules.FAILING, numbers.robots_failing),
            (PopulationRules.HANGING, silent),
            (PopulationRules.REFUSING, silent),
        ]
    for rules, share in shares:
        if drawn < share:
            return rules
        drawn -= share
    return PopulationRules.STATED


def _odd(numbers: Parameters, size: int, errors: float, dice: SeededRandom) -> tuple[Odd, ...]:
    """The odd URLs of a host, the broken ones first: a small host that cannot hold all drops the others."""
    hops = 1 + numbers.two_hops + 3 * numbers.more_hops
    shares = {
        Kind.MOVED: numbers.moved / hops,
        Kind.ELSEWHERE: numbers.elsewhere / hops,
        Kind.MISSING: numbers.missing,
        Kind.GONE: numbers.gone,
        Kind.FORBIDDEN: numbers.forbidden,
        Kind.NOT_HTML: numbers.not_html,
    }
    broken = _broken(numbers, _count(errors * size, dice), dice)
    return (*broken, *(Odd(kind) for kind, share in shares.items() for _ in range(_count(share * size, dice))))


def _broken(numbers: Parameters, count: int, dice: SeededRandom) -> list[Odd]:
    parts = {
        Kind.ERROR_500: numbers.error_500,
        Kind.ERROR_503: numbers.error_503,
        Kind.ERROR_429: numbers.error_429,
        Kind.RESET: numbers.resets,
        Kind.TRUNCATED: numbers.truncations,
        Kind.DRIP: numbers.drips,
        Kind.HANG: numbers.hangs,
        Kind.STALL: numbers.stalls,
    }
    pot = [kind for kind, part in parts.items() for _ in range(part)]
    left, found = MOST_FAILURES, []
    for _ in range(count):
        kind, drawn = pot[dice.below(len(pot))], dice.below(1000) / 1000
        heals = 2 if drawn < numbers.healed_second else 3 if drawn < numbers.healed_second + numbers.healed_third else 4
        if kind in _COUNTED and heals - 1 > left:
            kind = (Kind.TRUNCATED, Kind.ERROR_429)[dice.below(2)]
        if kind in _COUNTED:
            left -= heals - 1
        elif kind in _HEALING:
            heals = min(heals, 3)
        found.append(Odd(kind, heals))
    return found


def _count(expected: float, dice: SeededRandom) -> int:
    """A whole number whose mean is `expected`."""
    return int(expected + dice.below(1000) / 1000)
