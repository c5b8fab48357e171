"""Statistics of a profile web: its parameters, their sources, and the values measured on the web itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from crawler.testweb.document import Document, answer_for
from crawler.testweb.oracle import Expected, split
from crawler.testweb.parameters import SOURCES
from crawler.testweb.population import Place
from crawler.testweb.profile_web import ProfileWeb

_AT = (10, 50, 90, 99)


def table(web: ProfileWeb, ends: Mapping[str, Expected]) -> Iterator[str]:
    """One line per parameter, then one per value measured on the web itself."""
    for name, source in SOURCES.items():
        yield f"{name:24} {getattr(web.numbers, name):>10}  {source}"
    yield ""
    for name, value in realised(web, ends).items():
        yield f"{name:24} {value}"


def realised(web: ProfileWeb, ends: Mapping[str, Expected]) -> dict[str, str]:
    """The measured values by name, as text; quantiles are those at 10, 50, 90 and 99 %."""
    fetches = [
        web.document(*split(url), attempt) for url, end in ends.items() for attempt in range(1, end.attempts + 1)
    ]
    pages = [page for page in fetches if page.status == 200 and page.body and not page.fault]
    marked_up = [page for page in pages if page.links]
    places = list(web.places.values())
    sizes = sorted((place.site.size for place in places), reverse=True)
    top = sum(sizes[: max(1, len(sizes) // 100)]) / sum(sizes)
    sick = sum(len(place.odd) for place in places if place.sick)
    bodies = Counter(page.body for page in marked_up)
    return {
        "pages per host": f"{_quantiles(sizes)}, top 1 % of hosts hold {top:.0%}",
        "sick hosts": f"{sum(place.sick for place in places)}, with {sick} odd pages",
        "robots.txt": _shares(Counter(str(place.rules) for place in places)),
        "crawl-delay": f"{sum(place.crawl_delay > 0 for place in places)} hosts",
        "disallowed": f"{sum(end.reason == 'robots' for end in ends.values()) / len(ends):.1%} of URLs",
        "links, distinct": _quantiles([len(page.links) for page in marked_up]),
        "links to other hosts": f"{_external(web, ends):.1%}",
        "bytes, decoded": _quantiles([len(page.body) for page in marked_up]),
        "bytes, on the wire": _quantiles([len(answer_for(page).body) for page in marked_up]),
        "codings": _shares(Counter(page.coding or "identity" for page in marked_up)),
        "equal bodies": f"{sum(times for times in bodies.values() if times > 1) / max(1, len(marked_up)):.1%} of pages",
        "content types": _shares(Counter(page.content_type.partition(";")[0] for page in pages)),
        "seconds per answer": _quantiles([page.delay for page in fetches], 3),
        "of all fetches": _shares(Counter(_outcome(page) for page in fetches)),
        "failures of a host": f"{max(map(_failures, places))} at most",
        "ends of URLs": _shares(Counter(end.reason.value for end in ends.values())),
    }


def _external(web: ProfileWeb, ends: Mapping[str, Expected]) -> float:
    """The share of distinct links that lead to another host."""
    inner = total = 0
    for url, end in ends.items():
        if end.html:
            host, path = split(url)
            links = web.document(host, path, end.attempts).links
            total += len(links)
            inner += sum(split(link)[0] == host for link in links)
    return 1 - inner / max(1, total)


def _failures(place: Place) -> int:
    """Number of answers of a host that a crawler may count against it."""
    counted = ("500", "503", "reset", "hang")
    return sum(odd.heals - 1 for odd in place.odd if odd.kind in counted)


def _outcome(page: Document) -> str:
    return page.fault or ("drip" if page.drip else str(page.status))


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {count / total:.1%}" for name, count in ordered)


def _quantiles(values: Sequence[float], digits: int = 0) -> str:
    if not values:
        return "none"
    ordered = sorted(values)
    found = [ordered[percent * (len(ordered) - 1) // 100] for percent in _AT]
    mean = sum(ordered) / len(ordered)
    return f"{' / '.join(f'{value:.{digits}f}' for value in found)}, mean {mean:.{digits}f}"
