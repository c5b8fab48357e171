"""How long a crawl still lasts, from counts alone.

Rules:
- Without a delay the pace of the last seconds predicts the end, unless the queue is growing.
- With a delay each host gives one URL per rest, so what is known takes so many rests. The rest is the delay and the
  time of a fetch; where the crawl is slower (a Crawl-delay, a host that failed), the pace that was seen counts.
- How the URLs are spread over the hosts is unknown here. With several hosts an even spread is assumed, which is the
  least that it can take. URLs that are still to be found are not in it.
"""

from __future__ import annotations


def by_pace(owed: int, owed_then: int, pace: float) -> float | None:
    """Seconds until nothing is owed, at `pace` URLs per second; None while the queue grows or nothing moves."""
    return owed / pace if pace > 0 and owed <= owed_then else None


def by_rests(owed: int, hosts: int, rest: float, pace: float) -> float:
    """Seconds that the `owed` URLs of so many hosts take, when `rest` seconds pass from the start of one fetch of a
    host to the next and `pace` URLs per second were settled (0: none yet)."""
    hosts = max(1, min(hosts, owed))
    return owed * max(rest / hosts, 1 / pace if pace > 0 else 0.0)
