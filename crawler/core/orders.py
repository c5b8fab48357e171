"""From a lease to the order that a worker gets.

Rules:
- Links of a page matter where what they lead to may still be asked for: not at the depth limit, not of a robots.txt.
- An order is `bare` where redirects led away from its host and back: what is meant for this host alone (logins,
  cookies) stays at home then, because it was dropped on the way and somebody else chose where the way ends. The same
  goes for a robots.txt that the host asked about only redirects to.
"""

from __future__ import annotations

from crawler.core.messages import Fetch, Link
from crawler.core.urls import host_of


def order(lease: int, host: str, link: Link | None, url: str, attempt: int, max_depth: int | None) -> Fetch:
    """The order of a lease: to ask for `link`, or on behalf of `host` for the robots.txt at `url`."""
    if link is None:
        return Fetch(lease, url, attempt, follow=False, robots=True, bare=url != f"{host}/robots.txt")
    follow = max_depth is None or link.depth < max_depth
    return Fetch(lease, url, attempt, follow, bare=bool(link.via) and _strayed(link.via, host))


def _strayed(via: tuple[str, ...], host: str) -> bool:
    """Whether redirects have left this host; whoever asks knows that they came back."""
    hosts = [host_of(step) for step in via]
    return host in hosts and any(other != host for other in hosts[hosts.index(host) :])
