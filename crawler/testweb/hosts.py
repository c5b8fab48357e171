"""The hosts of the web: the number of pages, latency and robots.txt of each.

- The last hosts of the list each show one behaviour (`Part`). They are small, so that the waits they impose are short.
  All others are plain: their sizes fall like 1 / (rank + 3), a few big ones and many small ones.
- Every third plain host has `Disallow: /private/` and links that point there.
- A big host is fast: with 20 ms between two pages it is done in `BUSY` seconds, as far as 5 ms a page allow.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from crawler.testweb.draw import SeededRandom
from crawler.testweb.site import WebSite

BUSY = 8.0
SMALL = 5


class Part(StrEnum):
    """The behaviour that a host demonstrates."""

    PLAIN = "plain"
    ARCHIVE = "archive"  # redirects
    SHAKY = "shaky"  # 410, 500, 503 that heals
    FRAIL = "frail"  # broken connections
    BUSY = "busy"  # Retry-After
    BABEL = "babel"  # charsets
    GALLERY = "gallery"  # nofollow, base, documents that are no HTML
    SLOW = "slow"  # Crawl-delay
    SLOWER = "slower"  # a longer Crawl-delay
    GARBAGE = "garbage"  # robots.txt is an HTML page
    BARE = "bare"  # robots.txt is 404
    MOVED = "moved"  # robots.txt redirects
    CLOSED = "closed"  # robots.txt always answers 503


PARTS = tuple(Part)[1:]
CRAWL_DELAYS = {Part.SLOW: (2, 3), Part.SLOWER: (4, 2)}  # tenths of a second: at least, choices


class WebHost(msgspec.Struct, frozen=True):
    """One host. `latency` is its mean time to answer, `crawl_delay` that of its robots.txt, both in seconds."""

    index: int
    name: str
    part: Part
    site: WebSite
    latency: float
    crawl_delay: float = 0.0
    private: bool = False


def name_of(index: int) -> str:
    """The name of a host."""
    return f"host-{index:02d}.demo.test"


def part_of(index: int, hosts: int) -> Part:
    """The part of host `index` in a web of `hosts` hosts."""
    rank = index - (hosts - len(PARTS))
    return PARTS[rank] if rank >= 0 else Part.PLAIN


def is_private(index: int, part: Part) -> bool:
    """Whether robots.txt of the host forbids /private/."""
    return part is Part.MOVED or (part is Part.PLAIN and index % 3 == 0)


def make_host(seed: int, index: int, part: Part, size: int) -> WebHost:
    """Draw the properties of one host with `size` ordinary pages."""
    dice = SeededRandom(seed, "host", index)
    branch, salt, drawn = 4 + dice.below(5), dice.below(1000), (5 + dice.below(56)) / 1000
    least, choices = CRAWL_DELAYS.get(part, (0, 1))
    return WebHost(
        index=index,
        name=name_of(index),
        part=part,
        site=WebSite(size=size, branch=branch, salt=salt),
        latency=min(drawn, max(0.005, BUSY / size - 0.02)),
        crawl_delay=(least + dice.below(choices)) / 10,
        private=is_private(index, part),
    )


def plain_sizes(pages: int, hosts: int) -> list[int]:
    """Distribute `pages` over `hosts` plain hosts, at least one each. Raises ValueError where that is impossible."""
    if pages < hosts or hosts < 1:
        raise ValueError(f"{pages} pages cannot be shared among {hosts} plain hosts")
    weights = [1_000_000 // (rank + 3) for rank in range(hosts)]
    sizes = [1 + (pages - hosts) * weight // sum(weights) for weight in weights]
    sizes[0] += pages - sum(sizes)
    return sizes


def robots_text(host: WebHost) -> str:
    """The text of a host's robots.txt, independent of the path it is served from."""
    lines = ["# rules of " + host.name, "User-agent: badbot", "Disallow: /", "", "User-agent: *"]
    if host.crawl_delay:
        lines.append(f"Crawl-delay: {host.crawl_delay}")
    lines.append("Disallow: /private/" if host.private else "Disallow:")
    return "\n".join(lines) + "\n"
