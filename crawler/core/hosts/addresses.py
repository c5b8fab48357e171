"""Politeness by server address: hosts that resolve to one address share its rest.

Rules:
- It applies where `per_address` is on and hosts are asked with a delay: the delay counts from the end of the last fetch
  from that address, for any of its hosts, and one fetch at a time is in flight.
- The address of a host is known from its last answer. Until it has answered, that of the last answer from its
  registered domain is assumed, so thousands of names of one server do not ask it all at once.
- Hosts that have to wait get a turn each, one delay apart.
- A crawl of several shards asks an address once per (delay x shards) in each of them. That keeps the mean rate; two
  shards may still ask at the same moment.
- Memory is bounded: of MOST hosts, domains and addresses the older half is forgotten; a rest may be among them.
"""

from __future__ import annotations

import msgspec

from crawler.core.urls.domains import domain_of

MOST = 50_000


class Address(msgspec.Struct):
    """When a server may be asked next: it rests until `free_at`, turns until `turn_at` are assigned to waiting hosts,
    and `flying` fetches are in flight."""

    free_at: float = 0.0
    turn_at: float = 0.0
    flying: int = 0


class Addresses:
    """The known addresses of hosts. `shards` crawls share them."""

    def __init__(self, shards: int = 1) -> None:
        self._shards = shards
        self._addresses: dict[str, Address] = {}
        self._by_name: dict[str, str] = {}
        self._asked: dict[str, Address] = {}

    def wait(self, host: str, delay: float, now: float) -> float | None:
        """The time until which a host has to wait; None where it may be asked now."""
        address = self._of(host)
        if address is None or (not address.flying and address.free_at <= now):
            return None
        step = delay * self._shards
        earliest = max(address.free_at, now + step if address.flying else now, address.turn_at + step)
        address.turn_at = earliest
        return earliest

    def start(self, host: str) -> None:
        """Count a fetch from a host."""
        address = self._of(host)
        if address is not None:
            address.flying += 1
            self._asked[host] = address

    def land(self, host: str, answered_from: str, delay: float, now: float) -> None:
        """A fetch from a host has landed, answered by an address or by none ("")."""
        asked = self._asked.pop(host, None)
        if asked is not None:
            asked.flying -= 1
            asked.free_at = max(asked.free_at, now + delay * self._shards)
        if answered_from:
            for memory in (self._by_name, self._addresses):
                if len(memory) > MOST:
                    for name in list(memory)[: MOST // 2]:
                        memory.pop(name)
            self._by_name[host] = self._by_name[domain_of(host)] = answered_from
            address = self._addresses.setdefault(answered_from, Address())
            address.free_at = max(address.free_at, now + delay * self._shards)

    def _of(self, host: str) -> Address | None:
        name = self._by_name.get(host) or self._by_name.get(domain_of(host))
        return self._addresses.get(name) if name is not None else None
