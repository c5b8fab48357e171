"""The webs `lab`, `real` and `hostile`: a pure function of (seed, URL, attempt) that follows `Parameters`.

- Only a few numbers per host are stored; a page is computed on request.
- The result of a crawl does not depend on the order of its requests: a redirect ends at an ordinary page, the middle of
  a chain is linked by its head only, and no host fails often enough to be given up (see `population`).
- Every page is reachable from the root of its host, and all roots are seeds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

from xxhash import xxh3_128_hexdigest

from crawler.testweb.document import ACCEPT, Anchor, Answer, Document, Fault, answer_for
from crawler.testweb.draw import SeededRandom
from crawler.testweb.markup import followed, html, title_of
from crawler.testweb.parameters import Parameters
from crawler.testweb.population import CLOSED, Kind, Odd, Place, PopulationRules, populate
from crawler.testweb.prose import paragraphs
from crawler.testweb.tables import STEPS, lognormal, negative_binomial, pareto
from crawler.testweb.traps import ENTRANCES, FORBIDDEN, trap

MOST_LINKS = 1_000
_HOP = re.compile(r"/hop-([1-9])/([1-9]\d{0,8})")
_PRIVATE = re.compile(r"/private/(0|[1-9]\d{0,8})")
_PLAIN_TEXT = "text/plain; charset=utf-8"
_TYPES = ("application/pdf", "image/png", "application/json")
_STATE = "".join(xxh3_128_hexdigest(b"state", n) for n in range(16_384))
_FAULTS: Mapping[Kind, Fault] = {
    Kind.RESET: "reset",
    Kind.TRUNCATED: "truncated",
    Kind.HANG: "hang",
    Kind.STALL: "stall",
}
_BEFORE, _AFTER = '<script type="application/json">"', '"</script>\n'
_TEXT = "<!-- text -->"


class ProfileWeb:
    """The web with these parameters; `scheme` is http or https. Raises ValueError where `numbers` are impossible."""

    def __init__(self, seed: int, numbers: Parameters, domain: str = "real.test", scheme: str = "http") -> None:
        self.seed, self.numbers, self.scheme = seed, numbers, scheme
        self.places: Mapping[str, Place] = {place.name: place for place in populate(seed, numbers, domain)}
        self.names = tuple(self.places)
        self.seeds = tuple(f"{scheme}://{name}/" for name in self.names)
        self._popularity = list(accumulate(1_000_000 // (rank + 1) + 1 for rank in range(len(self.names))))
        self._sizes = lognormal(numbers.size, numbers.size_sigma, numbers.least_size, numbers.most_size)
        self._spread = lognormal(1e6, numbers.latency_spread)
        self._tail = pareto(numbers.late_from * 1e6, numbers.late_most * 1e6)

    # ---- interface for server, oracle and referee

    def answer(self, host: str, path: str, attempt: int = 1, accept: str = ACCEPT) -> Answer:
        """The answer as bytes for a GET of `path` (with its query). Raises KeyError for an unknown host."""
        return answer_for(self.document(host, path, attempt), accept)

    def document(self, host: str, path: str, attempt: int = 1) -> Document:
        """The document of a URL. Raises KeyError for an unknown host."""
        place = self.places[host]
        dice = SeededRandom(self.seed, host, path, attempt)
        delay, keep = self._delay(place, dice), self._keep(dice)
        if place.rules is PopulationRules.REFUSING:
            return Document(fault="refused")
        if path == "/robots.txt":
            return _robots(place, delay, keep)
        k = place.site.number(path)
        if k is not None and k < place.plain:
            return self._page(place, k, delay, keep)
        if k is not None:
            return self._odd(place, k, place.odd[k - place.plain], attempt, delay, keep)
        return self._beside(place, path, delay, keep)

    def allowed(self, host: str, path: str) -> bool:
        """Whether robots.txt allows this path. For hosts that never answer see `closed`."""
        place = self.places[host]
        return not ((place.private and path.startswith("/private/")) or (place.trapped and path.startswith(FORBIDDEN)))

    def is_robots(self, host: str, path: str) -> bool:
        """Whether a crawler reads the host's robots.txt at this path."""
        return path == "/robots.txt"

    def crawl_delay(self, host: str) -> float:
        """Crawl-delay of the host's robots.txt, in seconds."""
        return self.places[host].crawl_delay

    def closed(self, host: str) -> bool:
        """Whether robots.txt is never available, for whatever reason."""
        return self.places[host].rules in CLOSED

    # ---- numbers

    def _delay(self, place: Place, dice: SeededRandom) -> float:
        """The latency of this answer, in seconds."""
        if dice.below(100_000) < self.numbers.late * 100_000:
            return self._tail[dice.below(STEPS)] / 1e6 * self.numbers.latency_scale
        return place.latency * self._spread[dice.below(STEPS)] / 1e6

    def _keep(self, dice: SeededRandom) -> int:
        return 1 if dice.below(100_000) < self.numbers.closing * 100_000 else self.numbers.requests_per_connection

    def _coding(self, dice: SeededRandom) -> str:
        drawn = dice.below(100_000) / 100_000
        if drawn < self.numbers.gzip:
            return "gzip"
        return "br" if drawn < self.numbers.gzip + self.numbers.br else ""

    # ---- ordinary pages

    def _page(self, place: Place, k: int, delay: float, keep: int) -> Document:
        path, cluster = place.site.path(k), place.cluster(k)
        alike = cluster is not None
        dice = SeededRandom(self.seed, place.name, "same", cluster) if alike else SeededRandom(self.seed, place.name, k)
        anchors = self._anchors(place, None if alike else k, dice)
        coding = self._coding(dice)
        size = round(self._sizes[dice.below(STEPS)] * self.numbers.size_scale)
        name = f"/same/{cluster}" if alike else path
        near = self.numbers.near_duplicates
        if alike and near and dice.below(1000) < 1000 * near / (near + self.numbers.duplicates):
            name = path  # pages of a cluster differ only in their titles
        above, _, below = html(title_of(place.name, name), anchors, _TEXT).partition(_TEXT)
        body = f"{above}{_text(size - len(above) - len(below), dice)}{below}".encode()
        return Document(body=body, coding=coding, delay=delay, keep=keep, links=followed(anchors))

    def _anchors(self, place: Place, k: int | None, dice: SeededRandom) -> list[Anchor]:
        """The links of page k; None: of a leaf whose links must not depend on its position."""
        numbers, site = self.numbers, place.site
        table = negative_binomial(place.links, numbers.links_shape, MOST_LINKS)
        wanted = table[dice.below(len(table))]
        children = list(site.children(k)) if k is not None else []
        own = [*children, *range(min(numbers.navigation, site.size))][: max(wanted, len(children))]
        outside = min(int(wanted * numbers.external + dice.below(1000) / 1000), max(0, wanted - len(own)))
        own += [self._near(place, k or 0, dice) for _ in range(wanted - len(own) - outside)]
        paths = [site.path(n) for n in own]
        if k is not None:
            paths += [f"/private/{n}" for n in range(k, place.private, place.plain)]
        if k == 0 and place.trapped:
            paths += ENTRANCES
        anchors = [self._anchor(place.name, path, dice) for path in paths]
        return anchors + [self._outside(dice) for _ in range(outside)]

    def _near(self, place: Place, k: int, dice: SeededRandom) -> int:
        """A page of the same host: its parent, one further down, any."""
        site, drawn = place.site, dice.below(100)
        if drawn < 25:
            return site.parent(k)
        deeper = k * site.branch + 1 + dice.below(site.branch)
        return deeper if drawn < 70 and deeper < site.size else dice.below(site.size)

    def _outside(self, dice: SeededRandom) -> Anchor:
        """A link to some host, popular ones more often, mostly to its root."""
        drawn = dice.below(self._popularity[-1])
        place = self.places[self.names[bisect_right(self._popularity, drawn)]]
        home = dice.below(1000) < self.numbers.to_home * 1000
        url = f"{self.scheme}://{place.name}{place.site.path(0 if home else dice.below(place.site.size))}"
        return Anchor(url, url)

    def _anchor(self, name: str, path: str, dice: SeededRandom) -> Anchor:
        """A link within a host, in its usual form or a rarer one."""
        url = f"{self.scheme}://{name}{path}"
        if dice.below(1000) >= self.numbers.odd_spellings * 1000:
            return Anchor(path, url)
        port = 443 if self.scheme == "https" else 80
        written = (
            f"{self.scheme.upper()}://{name.upper()}{path}",
            f"{self.scheme}://{name}:{port}{path}",
            f"{path}#top",
            f"/./nowhere/..{path}",
        )
        return Anchor(written[dice.below(len(written))], url)

    # ---- the odd ones

    def _odd(self, place: Place, k: int, odd: Odd, attempt: int, delay: float, keep: int) -> Document:
        """The odd URL with number k."""
        match odd.kind:
            case Kind.MOVED | Kind.ELSEWHERE:
                return self._moved(place, k, 0, delay, keep)
            case Kind.MISSING | Kind.GONE | Kind.FORBIDDEN:
                return _excuse(int(odd.kind), delay, keep)
            case Kind.NOT_HTML:
                return self._raw(place, k, delay, keep)
        page = self._page(place, k, delay, keep)
        if attempt >= odd.heals:
            return page
        match odd.kind:
            case Kind.ERROR_500 | Kind.ERROR_503 | Kind.ERROR_429:
                wait = round(self.numbers.retry_after * self.numbers.latency_scale)
                return _excuse(int(odd.kind), delay, keep, None if odd.kind is Kind.ERROR_500 else wait)
            case Kind.DRIP:
                drip = self.numbers.drip * self.numbers.latency_scale
                return Document(body=page.body, coding=page.coding, delay=delay, drip=drip, keep=keep, links=page.links)
        return Document(body=page.body, coding=page.coding, delay=delay, fault=_FAULTS[odd.kind], keep=keep)

    def _moved(self, place: Place, k: int, hop: int, delay: float, keep: int) -> Document:
        """Hop number `hop` of the redirects that begin at page k."""
        dice = SeededRandom(self.seed, place.name, "chain", k)
        hops, loops = self._hops(dice), dice.below(1000) < self.numbers.loops * 1000
        if hop >= max(hops, 2 if loops else 1):
            return _excuse(404, delay, keep)
        kind = place.odd[k - place.plain].kind
        status = ((301, 308) if kind is Kind.MOVED else (302, 307))[dice.below(2)]
        if loops:
            target = place.site.path(k) if hop else f"/hop-1/{k}"
        elif hop + 1 < hops:
            target = f"/hop-{hop + 1}/{k}"
        else:
            target = place.site.path(dice.below(place.plain))
        url = f"{self.scheme}://{place.name}{target}"
        return Document(status=status, location=target, target=url, delay=delay, keep=keep)

    def _hops(self, dice: SeededRandom) -> int:
        drawn, more = dice.below(1000) / 1000, dice.below(3)
        if drawn < self.numbers.more_hops:
            return 3 + more
        return 2 if drawn < self.numbers.more_hops + self.numbers.two_hops else 1

    def _raw(self, place: Place, k: int, delay: float, keep: int) -> Document:
        """A document that is not HTML."""
        dice = SeededRandom(self.seed, place.name, "raw", k)
        size, start = round(self._sizes[dice.below(STEPS)] * self.numbers.size_scale), dice.below(1000)
        body = b"{" + _state(size, start).encode() + b"}"
        return Document(content_type=_TYPES[dice.below(len(_TYPES))], body=body, delay=delay, keep=keep)

    def _beside(self, place: Place, path: str, delay: float, keep: int) -> Document:
        """Paths without a number in the tree: the middle of a chain, private pages, traps, 404."""
        if found := _HOP.fullmatch(path):
            k = int(found[2])
            if place.plain <= k < place.site.size and place.odd[k - place.plain].kind in (Kind.MOVED, Kind.ELSEWHERE):
                return self._moved(place, k, int(found[1]), delay, keep)
        if (found := _PRIVATE.fullmatch(path)) and int(found[1]) < place.private:
            return Document(body=html(title_of(place.name, path), (), "<p>private\n").encode(), delay=delay, keep=keep)
        caught = trap(self.scheme, place.name, path, delay) if place.trapped else None
        return caught or _excuse(404, delay, keep)


def _robots(place: Place, delay: float, keep: int) -> Document:
    match place.rules:
        case PopulationRules.HANGING:
            return Document(fault="hang", delay=delay)
        case PopulationRules.MISSING | PopulationRules.FORBIDDEN | PopulationRules.FAILING:
            return _excuse(int(place.rules), delay, keep)
    lines = [f"# {place.name}", "User-agent: badbot", "Disallow: /", "", "User-agent: *"]
    lines += [f"Crawl-delay: {place.crawl_delay:g}"] if place.crawl_delay else []
    lines += ["Disallow: /private/"] if place.private else []
    lines += [f"Disallow: {FORBIDDEN}"] if place.trapped else []
    lines += [f"Disallow: /nobody-links-here/{n}" for n in range(SeededRandom(place.name, "robots").below(200))]
    text = "\n".join([*lines, ""])
    return Document(content_type=_PLAIN_TEXT, body=text.encode(), delay=delay, keep=keep)


def _excuse(status: int, delay: float, keep: int, retry_after: int | None = None) -> Document:
    return Document(
        status=status, content_type=_PLAIN_TEXT, body=b"not here\n", delay=delay, keep=keep, retry_after=retry_after
    )


def _text(size: int, dice: SeededRandom) -> str:
    """`size` characters like those of a modern page: prose, and a state blob that hardly compresses.

    More where `size` would not hold a paragraph.
    """
    start, whole = dice.below(1000), paragraphs("en", 10**9, 0)
    prose = max(0, size * 13 // 20)
    text = whole * (prose // len(whole)) + paragraphs("en", prose % len(whole), start)
    return f"{text}{_BEFORE}{_state(size - len(text) - len(_BEFORE) - len(_AFTER), start)}{_AFTER}"


def _state(size: int, start: int) -> str:
    first = start * 509
    return (_STATE * (1 + (first + max(size, 0)) // len(_STATE)))[first : first + max(size, 0)]
