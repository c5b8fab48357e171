"""The hosts of the web: how many pages each has, how fast it is, what its robots.txt says.

- The last hosts of the list have a part to play (`Part`); they are small, so that what they make a crawler wait for is
  soon over. All others are plain: their sizes fall like 1 / (rank + 3), a few big ones and many small ones.
- Every third plain host has `Disallow: /private/` and links that point there.
- A big host is a fast one: with 20 ms between two pages it is through in `BUSY` seconds, as long as 5 ms a page allow.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from crawler.testweb.draw import SeededRandom
from crawler.testweb.site import WebSite

BUSY = 8.0
SMALL = 5


class Part(StrEnum):
    """What a host is there to show."""

    PLAIN = "plain"
    ARCHIVE = "archive"  # redirects
    SHAKY = "shaky"  # 410, 500, 503 that heals
    FRAIL = "frail"  # broken connections
    BUSY = "busy"  # Retry-After
    BABEL = "babel"  # charsets
    GALLERY = "gallery"  # nofollow, base, documents that are no HTML
    SLOW = "slow"  # Crawl-delay
    SLOWER = "slower"  # a longer one
    GARBAGE = "garbage"  # robots.txt is an HTML page
    BARE = "bare"  # robots.txt is 404
    MOVED = "moved"  # robots.txt redirects
    CLOSED = "closed"  # robots.txt answers 503 for ever


PARTS = tuple(Part)[1:]
CRAWL_DELAYS = {Part.SLOW: (2, 3), Part.SLOWER: (4, 2)}  # tenths of a second: at least, choices


class WebHost(msgspec.Struct, frozen=True):
    """One host. `latency` is its mean time to answer, `crawl_delay` what its robots.txt asks for, both in seconds."""

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
    """Which part host `index` of so many plays."""
    rank = index - (hosts - len(PARTS))
    return PARTS[rank] if rank >= 0 else Part.PLAIN


def is_private(index: int, part: Part) -> bool:
    """Whether robots.txt of the host forbids /private/."""
    return part is Part.MOVED or (part is Part.PLAIN and index % 3 == 0)


def make_host(seed: int, index: int, part: Part, size: int) -> WebHost:
    """Draw the facts of one host with `size` ordinary pages."""
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
    """Share `pages` among so many plain hosts, each at least one. Raises ValueError where that is impossible."""
    if pages < hosts or hosts < 1:
        raise ValueError(f"{pages} pages cannot be shared among {hosts} plain hosts")
    weights = [1_000_000 // (rank + 3) for rank in range(hosts)]
    sizes = [1 + (pages - hosts) * weight // sum(weights) for weight in weights]
    sizes[0] += pages - sum(sizes)
    return sizes


def robots_text(host: WebHost) -> str:
    """The rules that a host states, wherever they are read."""
    lines = ["# rules of " + host.name, "User-agent: badbot", "Disallow: /", "", "User-agent: *"]
    if host.crawl_delay:
        lines.append(f"Crawl-delay: {host.crawl_delay}")
    lines.append("Disallow: /private/" if host.private else "Disallow:")
    return "\n".join(lines) + "\n"
