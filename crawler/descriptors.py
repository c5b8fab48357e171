"""Open files and sockets: a run makes sure beforehand that it may hold as many as its fetches need.

Running out in the middle would look like trouble of the web: connections that cannot be opened. The soft limit of a
process is often 1,024 for the sake of programs that use `select`, so it is raised as far as the system allows.
"""

from __future__ import annotations

import resource

from crawler.errors import UsageError

EACH = 4  # the greediest client (libcurl) holds three between two fetches and one more while it resolves a name
SPARE = 64  # the frontier, parts, pipes, logs
COMFORT = 8_192  # connections to many hosts are kept for some seconds, beyond those in use


def provide(fetches: int) -> None:
    """Let this process and its children hold what so many fetches at once need. Raises UsageError."""
    needed = SPARE + EACH * fetches
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = max(needed, COMFORT) if hard == resource.RLIM_INFINITY else min(max(needed, COMFORT), hard)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        allowed = soft
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        fitting = max(1, (allowed - SPARE) // EACH)
        raise UsageError(
            f"{fetches} fetches at once need {needed} open files and this system allows {allowed}; "
            f"choose --concurrency {fitting} or less, or raise the limit (ulimit -n)"
        )
