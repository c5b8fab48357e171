"""The default site of a bench: one host of the test web `lab`, served by its own server.

Rules, and why:
- Its name is its loopback address and its links are paths, so that a peer without `[resolve]` can reach it.
- Every answer is computed before the first request and has no latency: the server shares the cores with the measured
  entrant, so it must be cheap.
- It runs in its own process, which ends at end of file on its standard input.

`python -m crawler.bench.web PAGES` prints its port once it listens.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from crawler.compare.workload import child_environment
from crawler.errors import CrawlerError
from crawler.testweb.document import ACCEPT, Answer
from crawler.testweb.oracle import expected, split
from crawler.testweb.parameters import LAB
from crawler.testweb.profile_web import ProfileWeb
from crawler.testweb.server import WebServer
from crawler.testweb.settings import address_of

SEED = 1
ADDRESS = address_of(0)
SITE = f"http://{ADDRESS}/"


class BenchWeb(ProfileWeb):
    """One host of `pages` pages, 32 kB and up to 47 links each."""

    def __init__(self, pages: int) -> None:
        super().__init__(SEED, LAB.scaled(hosts=1, pages=pages, external=0, latency_scale=0))
        (place,) = self.places.values()
        self.places = {ADDRESS: msgspec.structs.replace(place, name=ADDRESS)}
        self.names, self.seeds = (ADDRESS,), (SITE,)
        self._ready = {path: ProfileWeb.answer(self, ADDRESS, path) for _, path in map(split, expected(self))}

    def answer(self, host: str, path: str, attempt: int = 1, accept: str = ACCEPT) -> Answer:
        """The precomputed answer; no page of this web depends on attempt or coding."""
        return self._ready.get(path) or super().answer(host, path, attempt, accept)


@contextmanager
def served(pages: int) -> Iterator[str]:
    """Serve the web in its own process within the block; yields its URL. Raises CrawlerError."""
    # its own session: Ctrl-C in our terminal must not end the web while a crawl of it is being stopped
    with subprocess.Popen(
        [sys.executable, "-m", "crawler.bench.web", str(pages)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment(),
        start_new_session=True,
    ) as process:
        assert process.stdout
        port = process.stdout.readline().strip()
        if not port:
            raise CrawlerError(f"the web to measure on did not start: it ended with {process.wait()}")
        yield f"http://{ADDRESS}:{int(port)}/"


async def serve(pages: int) -> None:
    """Serve until end of file on standard input."""
    async with WebServer(BenchWeb(pages)) as server:
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))
