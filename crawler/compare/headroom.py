"""How much the test web can give: pages/s of its flat web, without latency, to clients that cost next to nothing.

Rules, and why:
- A server that cannot give three times what the fastest engine takes would be what is measured. So its capacity is
  measured before the first trial of each size of a page, and gate G8 holds every trial against it.
- wrk or hey ask where they are installed, else loops of our own (crawler.compare.load), one process per core. They
  share the cores with the server, as crawlers do: a machine too small for both shows that, too.
- Speed is read off the server's own log, in its steady window.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from crawler.compare import workload
from crawler.compare.records import Condition
from crawler.errors import CrawlerError
from crawler.runtime.job import cores
from crawler.testweb.flat import NAME
from crawler.testweb.referee import judge

SECONDS = 2.0
CONNECTIONS = 32
PATH = "/page-0.html"
PATIENCE = 30.0


def capacity(condition: Condition, folder: Path) -> float | None:
    """Pages/s the server can give under a condition; None for a web that is not flat. Raises CrawlerError."""
    if condition.workload != workload.FLAT:
        return None
    bare = msgspec.structs.replace(condition, latency=0.0, errors=0.0, pages=1)
    log = folder / "log"
    with workload.serve(bare, log) as web:
        address = next(iter(web.settings.resolve.values()))
        _ask([subprocess.Popen(one, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for one in commands(address)])
    return judge(log, workload.oracle_of(bare).web, 0.0, CONNECTIONS).steady.throughput


def commands(address: str) -> list[list[str]]:
    """What asks: one command of wrk or hey, or one of ours per core."""
    url = f"http://{address}{PATH}"
    if wrk := shutil.which("wrk"):
        threads = f"-t{min(cores(), CONNECTIONS)}"
        return [[wrk, threads, f"-c{CONNECTIONS}", f"-d{SECONDS:g}s", "-H", f"Host: {NAME}", url]]
    if hey := shutil.which("hey"):
        return [[hey, "-z", f"{SECONDS:g}s", "-c", str(CONNECTIONS), "-host", NAME, url]]
    share = str(-(-CONNECTIONS // cores()))
    return [[sys.executable, "-m", "crawler.compare.load", address, NAME, PATH, share, f"{SECONDS:g}"]] * cores()


def _ask(asking: list[subprocess.Popen[bytes]]) -> None:
    try:
        for process in asking:
            _, told = process.communicate(timeout=PATIENCE)
            if process.returncode:
                why = told.decode(errors="replace").strip().splitlines()[-1:] or ["nothing on stderr"]
                raise CrawlerError(f"the load for the server ended with {process.returncode}: {why[0]}")
    except subprocess.TimeoutExpired as error:
        raise CrawlerError(f"the load for the server did not end in {PATIENCE:.0f} s") from error
    finally:
        for process in asking:
            process.kill()
            process.communicate()
