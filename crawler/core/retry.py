"""One outcome and the attempts so far in; "again after t" or "enough, because" out.

Rules:
- Worth another attempt: connection trouble, timeouts, bodies cut by the network, 408, 429 and 5xx. Nothing else: other
  4xx will not change, and TLS, protocol and encoding trouble is the same the next time.
- The wait is exponential with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015): uniform
  between 0 and min(cap, base * 2^(attempt - 1)). The dice are a hash of (seed, URL, attempt), so a crawl can be
  replayed.
- The wait of a URL never shortens the rest of its host; `Host` sees to that.
"""

from __future__ import annotations

import msgspec
from xxhash import xxh3_64_intdigest

from crawler.core.messages import Failed, Fetched, Reason, Trouble
from crawler.core.rules import Rules

RETRIED_TROUBLES = frozenset({Trouble.DNS, Trouble.CONNECT, Trouble.TIMEOUT, Trouble.DISCONNECT})
RETRIED_CUTS = frozenset({"time", "disconnect"})


class Again(msgspec.Struct, frozen=True):
    """Ask once more, `after` seconds from now at the earliest."""

    after: float


class Enough(msgspec.Struct, frozen=True):
    """No further attempt; the URL ends with this reason."""

    reason: Reason


def after_response(event: Fetched, url: str, attempt: int, rules: Rules, seed: int) -> Again | Enough:
    """Judge the answer to attempt number `attempt` (1 is the first)."""
    status = event.status
    transient = status in (408, 429) or 500 <= status <= 599 or event.truncated in RETRIED_CUTS
    if transient and attempt < rules.attempts:
        return Again(backoff(url, attempt, rules.backoff, rules.backoff_cap, seed))
    return Enough(_reason_of(status))


def after_trouble(event: Failed, url: str, attempt: int, rules: Rules, seed: int) -> Again | Enough:
    """Judge attempt number `attempt`, which brought no response. Losses and slow names are none: not judged here."""
    if event.trouble in RETRIED_TROUBLES and attempt < rules.attempts:
        return Again(backoff(url, attempt, rules.backoff, rules.backoff_cap, seed))
    return Enough(Reason(event.trouble.value))


def backoff(url: str, attempt: int, base: float, cap: float, seed: int) -> float:
    """Seconds to wait after attempt number `attempt`: full jitter below a doubling ceiling."""
    ceiling = min(cap, base * 2.0 ** (attempt - 1))
    return ceiling * (xxh3_64_intdigest(f"{url} {attempt}".encode(), seed) / 2**64)


def _reason_of(status: int) -> Reason:
    if 200 <= status <= 299:
        return Reason.OK
    if 400 <= status <= 499:
        return Reason.CLIENT_ERROR
    if 500 <= status <= 599:
        return Reason.SERVER_ERROR
    return Reason.OTHER_STATUS
