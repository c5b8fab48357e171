"""Memory bounds: how much of a crawl may be in memory at once. What is beyond a bound waits in the frontier; no bound
is an error."""

from __future__ import annotations

import msgspec

PLENTY = 1 << 30
"""Room without a bound."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """At most so many `links` wait in the queues of `hosts`; `marks` of URLs tell new ones from known ones."""

    hosts: int = 20_000
    links: int = 100_000
    marks: int = 5_000_000
