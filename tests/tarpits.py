"""Do hosts that send a byte a second, or pages that are expensive to parse, slow the others down?

    python -m tests.tarpits [--mode async] [--good 1000] [--pages 20] [--tarpits 100] [--concurrency 500]

One server answers for all hosts. The good ones have so many pages and a delay of a second after each (politeness); a
tarpit sends its head, its body or its whole answer at one byte per second; a hostile host has one page of
tests.hostile_pages, of so many bytes, as gzip. The good hosts are crawled alone, then among the tarpits, then among
hostile hosts, each time until the last good page is requested. Printed are the good pages per second of each crawl as a
share of the first, how late its heartbeats came, in milliseconds, and its CPU time per good page.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from time import monotonic

from tests import hostile_pages

DELAY = 1.0
LATENCY = 0.05
BEAT = 0.01
NO_ROBOTS = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
Figures = dict[str, float]
KINDS = ("all", "head", "body")


def answer(body: bytes, *more: bytes) -> bytes:
    """A page as a whole HTTP response."""
    head = [b"HTTP/1.1 200 OK", b"Content-Type: text/html", b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


class Server:
    """Answers for the hosts g0.test ... (good), t0.test ... (tarpits) and p0.test ... (hostile pages)."""

    def __init__(self, good: int, pages: int, hostile: list[bytes]) -> None:
        self.asked: list[float] = []
        self.done = asyncio.Event()
        self._expected = good * pages
        self._root = answer(b"".join(b'<a href="/%d">page</a>' % number for number in range(1, pages)))
        self._page = answer(b"<p>a page")
        self._hostile = hostile

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                path = head.split(" ", 2)[1]
                host = next(line for line in head.split("\r\n") if line.lower().startswith("host:"))[5:].strip()
                await asyncio.sleep(LATENCY)
                kind, number = host[0], int(host[1:].partition(".")[0])
                if kind == "t" and (number % len(KINDS) == 0 or path != "/robots.txt"):
                    await self._drip(writer, KINDS[number % len(KINDS)])
                elif path == "/robots.txt":
                    writer.write(NO_ROBOTS)
                elif kind == "p":
                    writer.write(self._hostile[number])
                else:
                    self._count()
                    writer.write(self._root if path == "/" else self._page)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    def _count(self) -> None:
        self.asked.append(monotonic())
        if len(self.asked) == self._expected:
            self.done.set()

    @staticmethod
    async def _drip(writer: asyncio.StreamWriter, kind: str) -> None:
        said = answer(b"<p>" + b"x" * 10_000)
        if kind == "body":
            end = said.index(b"\r\n\r\n") + 4
            writer.write(said[:end])
            said = said[end:]
        for byte in said:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1.0)


def hostile_answers(size: int) -> list[bytes]:
    """Every hostile page as a whole HTTP response, and bombs of several sizes."""
    pages = (hostile_pages.page(name, size) for name in hostile_pages.NAMES)
    bombs = (hostile_pages.bomb(size >> step) for step in range(0, 12, 2))
    return [answer(gzip.compress(page, 1), b"Content-Encoding: gzip") for page in (*pages, *bombs)]


async def measure(chosen: argparse.Namespace, others: list[str], hostile: list[bytes], folder: Path) -> Figures:
    """One crawl of the good hosts together with these others."""
    server = Server(chosen.good, chosen.pages, hostile)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=4096)
    port = listener.sockets[0].getsockname()[1]
    names = [*others, *(f"g{number}.test" for number in range(chosen.good))]
    config = folder / "web.toml"
    seeds = ",\n".join(f'"http://{name}/"' for name in names)
    resolve = "\n".join(f'"{name}" = "127.0.0.1:{port}"' for name in names)
    config.write_text(f"seeds = [{seeds}]\n[resolve]\n{resolve}\n")
    command = [
        *(sys.executable, "-m", "crawler", "--mode", chosen.mode, "--config", str(config), "--json", "-q"),
        *("--delay", str(DELAY), "--concurrency", str(chosen.concurrency), "--out", str(folder / "crawl")),
    ]
    wanted = {"CRAWLER_HEARTBEAT": str(BEAT), "CRAWLER_REPORT": "false", "CRAWLER_GRACE": "1"}
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL, env={**os.environ, **wanted})
    await server.done.wait()
    process.terminate()
    summary = json.loads((await process.communicate())[0])
    listener.close()
    return {
        "good_pages_per_second": len(server.asked) / (server.asked[-1] - server.asked[0]),
        "late_p50": summary["heartbeat"]["p50"],
        "late_p99": summary["heartbeat"]["p99"],
        "late_max": summary["heartbeat"]["max"],
        "cpu_us_per_good_page": summary["cpu_seconds"] / len(server.asked) * 1e6,
        "urls": summary["urls"],
        "unread": summary["unread"],
        "peak_memory_mb": summary["peak_memory_bytes"] >> 20,
    }


def main() -> None:
    """All crawls, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mode", default="async")
    parser.add_argument("--good", type=int, default=1000)
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--tarpits", type=int, default=100)
    parser.add_argument("--size", type=int, default=10 << 20)
    parser.add_argument("--concurrency", type=int, default=500)
    chosen = parser.parse_args()
    hostile = hostile_answers(chosen.size)
    webs: dict[str, list[str]] = {
        "alone": [],
        "tarpits": [f"t{number}.test" for number in range(chosen.tarpits)],
        "hostile": [f"p{number}.test" for number in range(len(hostile))],
    }
    results: dict[str, Figures] = {}
    for web, others in webs.items():
        with tempfile.TemporaryDirectory() as folder:
            results[web] = asyncio.run(measure(chosen, others, hostile, Path(folder)))
        results[web]["share"] = results[web]["good_pages_per_second"] / results["alone"]["good_pages_per_second"]
    print(json.dumps({web: {key: round(value, 3) for key, value in found.items()} for web, found in results.items()}))


if __name__ == "__main__":
    main()
