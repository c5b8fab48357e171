"""A thousand names without a DNS answer: are the other hosts still asked as often as they allow?

    unshare -n -m python -m tests.slow_names [--slow 1000] [--good 100] [--pages 40] [--modes async,threads]

In a separate network, with a DNS that answers at once for good hosts and never for slow ones, each engine crawls the
good hosts alone and again between the slow ones. The output is the share of good pages per second that is left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from time import monotonic

ADDRESS = "93.184.216.34"
RESOLVER = "127.0.0.53"
LATENCY = 0.05


class Site:
    """All good hosts. `last_at` is the time of the last request for a page, `first_at` that of the first."""

    def __init__(self, pages: int) -> None:
        self.asked = 0
        self.first_at = self.last_at = 0.0
        self._links = "".join(f'<a href="/{number}">page</a>' for number in range(1, pages)).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(LATENCY)
                path = head.split(b" ", 2)[1]
                self.last_at = monotonic()
                self.first_at = self.first_at or self.last_at
                self.asked += path != b"/robots.txt"
                body = self._links if path == b"/" else b"fine"
                status = b"404 Not Found" if path == b"/robots.txt" else b"200 OK"
                fields = b"Content-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body)
                writer.write(b"HTTP/1.1 %b\r\n%b%b" % (status, fields, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def answer_names(line: socket.socket) -> None:
    """A DNS server (RFC 1035) with one address; it does not answer for names that begin with "slow"."""
    while True:
        query, client = line.recvfrom(512)
        if query[13:17] != b"slow":
            end = query.index(0, 12) + 5
            record = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4" + socket.inet_aton(ADDRESS) if query[end - 3] == 1 else b""
            counts = b"\0\1" + (b"\0\1" if record else b"\0\0") + b"\0\0\0\0"
            line.sendto(query[:2] + b"\x81\x80" + counts + query[12:end] + record, client)


async def good_pages_per_second(mode: str, good: int, slow: int, pages: int, folder: Path) -> float:
    """Pages per second from good hosts in one crawl; all good pages must be requested."""
    site = Site(pages)
    listener = await asyncio.start_server(site.serve, ADDRESS, 80, backlog=4096)
    every = max(1, slow // good)
    seeds = []
    for number in range(max(good, slow)):
        if number < slow:
            seeds.append(f"http://slow{number}.test/")
        if number % every == 0 and number // every < good:
            seeds.append(f"http://good{number // every}.test/")
    config = folder / "names.toml"
    config.write_text(f"seeds = {json.dumps(seeds)}\nreport = false\n")
    words = [sys.executable, "-m", "crawler", "--config", str(config), "--mode", mode, "--json", "-q"]
    words += ["--out", str(folder / f"{mode}-{slow}")]
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
    while site.asked < good * pages:
        await asyncio.sleep(0.1)
        assert process.returncode is None or site.asked == good * pages, f"{site.asked} of {good * pages} pages"
    if process.returncode is None:
        process.terminate()
    summary = json.loads((await process.communicate())[0])
    print(mode, slow, summary["reasons"], f"cpu {summary['cpu_seconds']:.1f} s", file=sys.stderr)
    listener.close()
    return site.asked / (site.last_at - site.first_at)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slow", type=int, default=1000)
    parser.add_argument("--good", type=int, default=100)
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--modes", default="async,threads,processes,prefork")
    args = parser.parse_args()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((RESOLVER, 53))
    threading.Thread(target=answer_names, args=(line,), daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        resolver = Path(folder, "resolv.conf")
        resolver.write_text(f"nameserver {RESOLVER}\n")
        subprocess.run(["mount", "--bind", str(resolver), "/etc/resolv.conf"], check=True)
        for mode in args.modes.split(","):
            rates = [
                asyncio.run(good_pages_per_second(mode, args.good, slow, args.pages, Path(folder)))
                for slow in (0, args.slow)
            ]
            print(json.dumps({"mode": mode, "share_of_good_pages_per_second": round(rates[1] / rates[0], 3)}))
        subprocess.run(["umount", "/etc/resolv.conf"], check=True)


if __name__ == "__main__":
    main()
