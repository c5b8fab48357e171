"""The capacity of the test web: pages/s of its flat web, without latency, to very cheap clients.

Rules, and why:
- A server that cannot give three times the rate of the fastest engine would be the bottleneck. So its capacity is
  measured before the first trial of each page size and number of connections, and gate G8 compares every trial with it.
- The load comes from crawler.compare.load, one process per core. They share the cores with the server, as crawlers do,
  so a machine too small for both shows.
- Rates are computed from the server's own log, in its steady window.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from crawler.compare import workload
from crawler.compare.records import Condition
from crawler.errors import CrawlerError
from crawler.runtime.job import cores
from crawler.testweb.flat import NAME
from crawler.testweb.referee import judge

SECONDS = 2.0
PAGES = 500
PATIENCE = 30.0


def capacity(condition: Condition, folder: Path) -> float | None:
    """The server's capacity in pages/s under a condition; None for a web that is not flat. Raises CrawlerError."""
    if condition.workload != workload.FLAT:
        return None
    bare = msgspec.structs.replace(condition, latency=0.0, errors=0.0, pages=PAGES)
    log = folder / "log"
    with workload.serve(bare, log) as web:
        address = next(iter(web.settings.resolve.values()))
        share = -(-condition.concurrency // cores())
        words = [address, NAME, str(PAGES), str(share), f"{SECONDS:g}"]
        words += map(str, filter(None, [workload.authority_of(condition, folder)]))
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(_ask, [words] * cores()))
    return judge(log, workload.oracle_of(bare).web, 0.0, share * cores()).steady.throughput


def _ask(words: list[str]) -> None:
    """Run one of the load processes to its end. Raises CrawlerError."""
    command = [sys.executable, "-m", "crawler.compare.load", *words]
    try:
        subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True, text=True)
    except subprocess.TimeoutExpired as error:
        raise CrawlerError(f"the load for the server did not end in {PATIENCE:.0f} s") from error
    except subprocess.CalledProcessError as error:
        why = error.stderr.strip().splitlines()[-1:] or ["nothing on stderr"]
        raise CrawlerError(f"the load for the server ended with {error.returncode}: {why[0]}") from error
