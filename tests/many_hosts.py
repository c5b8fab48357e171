"""Many hosts with a delay: is every host asked as often as it allows, and what does a page cost?

    python -m tests.many_hosts [--hosts 20000] [--large 500] [--pages 30] [--latency 0.05]

A server on one address answers for all hosts, each after the latency; `large` hosts have so many pages, others two.
One crawl has a delay of a second between two pages of a host, another has none. Once only large hosts are left,
politeness alone limits the first: the share of that rate which it reaches is printed, with the CPU time per page of
both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from time import monotonic

DELAY = 1.0


class Server:
    """A server for every name; `asked` are the times at which the pages of each host were requested."""

    def __init__(self, large: int, pages: int, latency: float) -> None:
        self.asked: dict[str, list[float]] = defaultdict(list)
        self._large = large
        self._pages = pages
        self._latency = latency

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                path = head.split(" ", 2)[1]
                host = next(line for line in head.split("\r\n") if line.lower().startswith("host:"))[5:].strip()
                await asyncio.sleep(self._latency)
                writer.write(self._answer(host, path))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, host: str, path: str) -> bytes:
        if path == "/robots.txt":
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        self.asked[host].append(monotonic())
        links = range(1, self.size(host)) if path == "/" else ()
        body = "".join(f'<a href="/{number}">page</a>' for number in links).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def size(self, host: str) -> int:
        """How many pages a host has."""
        return self._pages if int(host[1:].partition(".")[0]) < self._large else 2

    def reached(self) -> dict[str, object]:
        """The share of the rate allowed by politeness that was reached once only large hosts were left."""
        since = max(times[-1] for host, times in self.asked.items() if self.size(host) == 2)
        gaps = [after - before for times in self.asked.values() for before, after in pairwise(times) if before >= since]
        share = len(gaps) * (DELAY + self._latency) / sum(gaps)
        return {"pages_of_large_hosts": len(gaps), "share_of_polite_rate": round(share, 3), "least_gap": min(gaps)}


async def measure(hosts: int, server: Server, delay: float, out: Path) -> dict[str, object]:
    """One crawl of all hosts."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=4096)
    port = listener.sockets[0].getsockname()[1]
    names = [f"h{number}.test" for number in range(hosts)]
    config = out / "web.toml"
    seeds = ",\n".join(f'"http://{name}/"' for name in names)
    resolve = "\n".join(f'"{name}" = "127.0.0.1:{port}"' for name in names)
    config.write_text(f"seeds = [{seeds}]\n[resolve]\n{resolve}\n")
    flags = ["--config", str(config), "--delay", str(delay), "--concurrency", "300", "--out", str(out / "crawl")]
    command = [sys.executable, "-m", "crawler", *flags, "--json", "-q"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    summary = json.loads((await process.communicate())[0])
    listener.close()
    return {
        "urls": summary["urls"],
        "reasons": summary["reasons"],
        "seconds": summary["seconds"],
        "cpu_us_per_page": round(summary["cpu_seconds"] / summary["urls"] * 1e6),
        "peak_memory_mb": summary["peak_memory_bytes"] >> 20,
    }


def main() -> None:
    """Both crawls, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=500)
    parser.add_argument("--pages", type=int, default=30)
    parser.add_argument("--latency", type=float, default=0.05)
    args = parser.parse_args()
    results: dict[str, object] = {}
    for name, delay in (("delay", DELAY), ("no_delay", 0.0)):
        server = Server(args.large, args.pages, args.latency)
        with tempfile.TemporaryDirectory() as folder:
            results[name] = asyncio.run(measure(args.hosts, server, delay, Path(folder)))
        if delay:
            results |= server.reached()
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
