"""Raises the limit on open files (RLIMIT_NOFILE) before a run to what its fetches need.

The soft limit of a process is often 1,024 for the sake of programs that use `select`, so it is raised as far as the
system allows. Where that is too little, fewer fetches run at once than were asked for. If descriptors run out during
the run all the same (another process took them), no URL fails: see crawler/core/network/fetch_window.py.
"""

from __future__ import annotations

import resource

from crawler.errors import UsageError

EACH = 4  # the greediest client (libcurl) holds three between two fetches and one more while it resolves a name
SPARE = 64  # the frontier, parts, pipes, logs
LEAST = 40
COMFORT = 8_192  # connections to many hosts are kept for some seconds, beyond those in use


def ensure_fd_limit(fetches: int) -> int:
    """Raise the limit for this process and its children to what `fetches` at once need; returns how many fit. Raises
    UsageError where there is not even room for one."""
    needed = SPARE + EACH * fetches
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = max(needed, COMFORT) if hard == resource.RLIM_INFINITY else min(max(needed, COMFORT), hard)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        allowed = soft
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return fetches
    if allowed < LEAST:
        raise UsageError(
            f"a crawl needs {LEAST} open files and this system allows {allowed}; raise the limit (ulimit -n)"
        )
    return max(1, (allowed - min(SPARE, allowed // 2)) // EACH)
