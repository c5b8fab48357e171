"""The default site of a bench: one host of the test web `lab`, served by its own server.

Rules, and why:
- Its name is its loopback address and its links are paths, so that a peer without `[resolve]` can reach it.
- Every answer is computed before the first request and has no latency: the server shares the cores with the measured
  entrant, so it must be cheap.
- It runs in its own process, which ends at end of file on its standard input.
- It counts what it is asked for and the connections, so that no entrant has to be believed.

`python -m crawler.bench.web PAGES [CERTIFICATE]` prints its port once it listens, and then for every line that it reads
what it has counted since the line before. With CERTIFICATE, the key and certificate of a server, it serves https.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from crawler.compare.workload import child_environment
from crawler.errors import CrawlerError
from crawler.testweb.certificates import server_context, write_certificates
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


class ServerCounts(msgspec.Struct, frozen=True):
    """What a server counted: the paths that it was asked for in their order, the count of each status, the bytes of all
    bodies, TCP connections, and TLS handshakes, of which `resumed` continued an earlier session."""

    paths: tuple[str, ...]
    statuses: dict[str, int]
    size: int
    connections: int
    handshakes: int = 0
    resumed: int = 0


class CountingServer(WebServer):
    """The server of the web, which counts."""

    def __init__(self, web: BenchWeb, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(web, tls=tls)
        self._context = tls
        self._paths: list[str] = []
        self._statuses = Counter[str]()
        self._size = 0
        self._told = (0, 0, 0)

    def answer(self, host: str, path: str, attempt: int, accept: str, address: str) -> Answer:
        """The web's answer, counted."""
        answer = super().answer(host, path, attempt, accept, address)
        self._paths.append(path)
        self._statuses[str(answer.status)] += 1
        self._size += len(answer.body)
        return answer

    def counts(self) -> ServerCounts:
        """All since the last call."""
        tls = self._context.session_stats() if self._context else {"accept_good": 0, "hits": 0}
        now = (self.connections_made, tls["accept_good"], tls["hits"])
        new = (after - before for before, after in zip(self._told, now, strict=True))
        counts = ServerCounts(tuple(self._paths), dict(self._statuses), self._size, *new)
        self._paths, self._statuses, self._size, self._told = [], Counter(), 0, now
        return counts


class BenchSite(NamedTuple):
    """A site to measure on: the authority that it needs ("": a usual one), and what tells all that its server has
    counted since the last call; None where the server is not ours."""

    url: str
    ca_file: str = ""
    counts: Callable[[], ServerCounts] | None = None


@contextmanager
def served(pages: int, *, tls: bool = False) -> Iterator[BenchSite]:
    """Serve the web in its own process within the block, with `tls` by https. Raises CrawlerError."""
    with TemporaryDirectory(prefix="bench-") as name:
        authority, certificate = Path(name, "authority.pem"), Path(name, "server.pem")
        if tls:
            write_certificates((ADDRESS,), authority, certificate)
        # its own session: Ctrl-C in our terminal must not end the web while a crawl of it is being stopped
        with subprocess.Popen(
            [sys.executable, "-m", "crawler.bench.web", str(pages), *([str(certificate)] if tls else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,
        ) as process:
            assert process.stdin and process.stdout
            asked, told = process.stdin, process.stdout
            port = told.readline().strip()
            if not port:
                raise CrawlerError(f"the web to measure on did not start: it ended with {process.wait()}")

            def counts() -> ServerCounts:
                asked.write(b"\n")
                asked.flush()
                return msgspec.json.decode(told.readline(), type=ServerCounts)

            scheme = "https" if tls else "http"
            yield BenchSite(f"{scheme}://{ADDRESS}:{int(port)}/", str(authority) if tls else "", counts)


async def serve(pages: int, certificate: str = "") -> None:
    """Serve until end of file on standard input."""
    tls = server_context(Path(certificate)) if certificate else None
    async with CountingServer(BenchWeb(pages), tls) as server:
        print(server.port, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(msgspec.json.encode(server.counts()).decode(), flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:]))
