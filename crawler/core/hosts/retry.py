"""Retries: what is worth another attempt, how long to wait for it, and how a URL ends that gets none.

Rules:
- Worth another attempt: connection trouble, timeouts, bodies cut by the network, 408, 429 and 5xx. Nothing else: other
  4xx will not change, and TLS, protocol and encoding trouble is the same the next time.
- Attempts are spread over time, because most trouble passes: the wait grows fourfold, up to a cap. It is drawn from the
  upper half of that ("equal jitter", AWS Architecture Blog, "Exponential Backoff And Jitter", 2015), so that pages
  which failed together are not asked for together. The draw is a hash of (seed, URL, attempt), so a crawl can be
  replayed.
- crawler/core/hosts/health.py decides what a failure means for the host, and whether it spends an attempt at all.
- The wait of a URL never shortens the rest of its host: `Host` ensures that.
"""

from __future__ import annotations

from xxhash import xxh3_64_intdigest

from crawler.core.messages import Failed, FetchResult
from crawler.core.reasons import FetchErrorKind, Reason
from crawler.core.urls.redirects import REDIRECTS

RETRIED_TROUBLES = frozenset(
    {FetchErrorKind.DNS, FetchErrorKind.CONNECT, FetchErrorKind.TIMEOUT, FetchErrorKind.DISCONNECT}
)
RETRIED_CUTS = frozenset({"time", "disconnect"})
MOST_STEPS = 60  # a float can hold the power, and every cap is below it
LATER = {408: Reason.TIMEOUT, 429: Reason.RATE_LIMITED}
"""Statuses that ask for another attempt later, with the reason of a URL that ends with one."""


def is_transient(event: FetchResult) -> bool:
    """Whether another attempt may bring another result."""
    if isinstance(event, Failed):
        return event.kind in RETRIED_TROUBLES
    return event.status in (408, 429) or 500 <= event.status <= 599 or event.truncated in RETRIED_CUTS


def backoff(url: str, attempt: int, base: float, cap: float, seed: int) -> float:
    """Seconds to wait after attempt number `attempt` of a URL: at most base, 4 base, 16 base, ...; at least half
    of that."""
    return _jittered(url, attempt, min(cap, base * 4.0 ** min(attempt - 1, MOST_STEPS)), seed)


def gap(name: str, number: int, base: float, cap: float, seed: int) -> float:
    """Seconds to wait after failure number `number` in a row of a host: at most base, 1.5 base, 2.25 base, ...; at
    least half of that. So a host that is back is noticed after a third of the time that it was away."""
    return _jittered(name, number, min(cap, base * 1.5 ** min(number - 1, MOST_STEPS)), seed)


def _jittered(key: str, number: int, ceiling: float, seed: int) -> float:
    return ceiling * (0.5 + xxh3_64_intdigest(f"{key} {number}".encode(), seed) / 2**65)


def reason_of(event: FetchResult) -> Reason:
    """How a URL ends whose last fetch landed like this."""
    return Reason(event.kind.value) if isinstance(event, Failed) else _reason_of(event.status)


def _reason_of(status: int) -> Reason:
    if status in LATER:
        return LATER[status]
    if 200 <= status <= 299:
        return Reason.OK
    if status in REDIRECTS:  # one that leads nowhere and whose body was cut
        return Reason.REDIRECT_INVALID
    if 400 <= status <= 499:
        return Reason.CLIENT_ERROR
    if 500 <= status <= 599:
        return Reason.SERVER_ERROR
    return Reason.OTHER_STATUS
