"""How fast is a whole crawl against a client that does nothing but fetch? `python -m tests.speed URL [options]`

The yardstick is a raw aiohttp loop: one process, uvloop, the same URLs known beforehand, the same number in flight,
bodies read and thrown away. It alternates with the modes, so a drift of the machine meets all of them. Only ratios are
printed: of URLs per second (wall clock, from the first fetch to the last commit) and of CPU per URL, the median over
the rounds and the range.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

EXCLUDE = r"\.(png|gif|jpe?g|svg|ico|css|js|json|zip|gz|pdf|txt|c|h|cpp|hpp|py|xml|inv)$"


class Figure(NamedTuple):
    """One trial: URLs per second, CPU microseconds per URL, peak memory in bytes of the whole tree."""

    rate: float
    cpu: float
    memory: int = 0


async def fetch_all(urls: list[str], in_flight: int) -> None:
    """The yardstick."""
    import aiohttp
    from yarl import URL

    left = iter(urls)

    async def one_after_another(session: aiohttp.ClientSession) -> None:
        for url in left:
            async with session.get(URL(url, encoded=True), allow_redirects=False) as response:
                await response.read()

    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        await asyncio.gather(*(one_after_another(session) for _ in range(in_flight)))


def raw(urls: Path, in_flight: int) -> Figure:
    """The yardstick in a fresh process."""
    command = [sys.executable, "-m", "tests.speed", "--raw", str(urls), "--concurrency", str(in_flight)]
    return Figure(*json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def run_raw(urls: Path, in_flight: int) -> None:
    """What that process does."""
    import uvloop

    names = urls.read_text().split()
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = perf_counter()
    uvloop.run(fetch_all(names, in_flight))
    seconds = perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps([len(names) / seconds, cpu / len(names) * 1e6]))


def crawl(url: str, mode: str, in_flight: int, out: Path) -> tuple[Figure, str]:
    """One crawl from the command line, in a fresh directory; also its digest."""
    name, _, client = mode.partition("+")
    command = [
        *(sys.executable, "-m", "crawler", "--mode", name, "--profile", "fast", "--json", "-q", "--out", str(out)),
        *("--concurrency", str(in_flight), "--per-host", str(in_flight), "--exclude", EXCLUDE, url),
        *(("--client", client) if client else ()),
    ]
    done = subprocess.run(command, check=True, capture_output=True)
    told = json.loads(done.stdout)
    figure = Figure(told["pages_per_second"], told["cpu_seconds"] / told["urls"] * 1e6, told["peak_memory_bytes"])
    return figure, told["digest"]


def urls_of(out: Path) -> list[str]:
    """The URLs that a crawl fetched."""
    command = [sys.executable, "-m", "crawler", "export", str(out)]
    rows = subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
    return [row["url"] for row in map(json.loads, rows) if row["attempts"]]


def measure(url: str, modes: list[str], in_flight: int, rounds: int) -> None:
    """Alternate, then print."""
    figures: dict[str, list[Figure]] = {mode: [] for mode in ("raw", *modes)}
    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        crawl(url, modes[0], in_flight, Path(folder, "list"))
        urls = Path(folder, "urls")
        urls.write_text("\n".join(urls_of(Path(folder, "list"))))
        for number in range(rounds):
            figures["raw"].append(raw(urls, in_flight))
            shift = number % len(modes)
            for mode in modes[shift:] + modes[:shift]:
                figure, digest = crawl(url, mode, in_flight, Path(folder, f"{mode}-{number}"))
                figures[mode].append(figure)
                digests.add(digest)
        count = len(urls.read_text().split())
    print(
        f"{url}: {count} URLs, {in_flight} in flight, {rounds} alternating rounds, digests equal: {len(digests) == 1}"
    )
    print(f"{'mode':22} {'URLs/s : raw':>24} {'CPU per URL : raw':>24} {'peak PSS':>10}")
    for mode in modes:
        pairs = list(zip(figures[mode], figures["raw"], strict=True))
        rate = spread([one.rate / base.rate for one, base in pairs])
        cpu = spread([one.cpu / base.cpu for one, base in pairs])
        print(f"{mode:22} {rate:>24} {cpu:>24} {max(one.memory for one in figures[mode]) / 1e6:>7.0f} MB")


def spread(ratios: list[float]) -> str:
    """Median, and the range."""
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--modes", nargs="+", default=["async", "threads", "processes"], help="a mode, or mode+client")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--raw", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.raw:
        run_raw(chosen.raw, chosen.concurrency)
    elif chosen.url:
        measure(chosen.url, chosen.modes, chosen.concurrency, chosen.rounds)
    else:
        parser.error("name the site to measure on: yours, or one on this machine")


if __name__ == "__main__":
    main()
