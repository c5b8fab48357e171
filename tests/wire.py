"""Rounds of hostile replies against one client: leaks of connections and memory, and the time taken.

    python -m tests.wire [--client aiohttp|native] [--threads] [--rounds 1000]

Every case of the corpus hostile_http, in every round, is fetched and read as in a crawl, with AT_ONCE fetches in
flight, under the limits that the corpus names. The server closes connections unannounced, so a fetch that fails before
a head arrived is retried, as in a crawl. Then each connection must fetch a good page. The output is one JSON object:
how each case ended, the slowest fetch, the time that the good page took, the growth of resident memory since the first
rounds, the same without the free memory that the allocator keeps, and the cases whose outcomes differed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, process_time, time
from typing import Any, NamedTuple

from crawler.core.messages import Fetch
from crawler.core.rules import Rules
from crawler.core.urls.scope import Scope
from crawler.fetch import ASYNC_CLIENTS, open_async_fetcher, open_fetcher
from crawler.fetch.base import ClientPlan, FetchError, Limits, Request, Response
from crawler.pipeline.page_processor import PageProcessor
from crawler.system.memory_shortage import large_blocks_apart, relieve
from tests.corpus import FOLDER, load
from variants.thread_pool import share_arenas

AT_ONCE = 10
ATTEMPTS = 4
BROKEN = "disconnect"
WARM = 10
GOOD = "cl_exact"
LOOP = b"HTTP/1.1 302 Moved\r\nConnection: close\r\nLocation: /c/rd_b\r\nContent-Length: 0\r\n\r\n"


class Replay(NamedTuple):
    """A running replay server: its address, the cases, and the limits to fetch them with."""

    address: str
    cases: list[dict[str, Any]]
    limits: dict[str, float]

    def plan(self) -> ClientPlan:
        """What a client is made from."""
        known = self.limits
        return ClientPlan(
            networks=("127.0.0.0/8",),
            limits=Limits(
                connect=known["connect_timeout"],
                first_byte=known["first_byte_timeout"],
                idle=known["idle_timeout"],
                total=known["total_timeout"],
                max_body=int(known["max_body"]),
                max_head=int(known["header_block"]),
            ),
            headers=(("User-Agent", "wire/1"),),
            connections=AT_ONCE,
        )


@contextmanager
def replaying() -> Iterator[Replay]:
    """Serve the cases with the replay server of the corpus, and the page that forms a loop with one of them."""
    known = load("hostile_http/cases")
    with tempfile.TemporaryDirectory() as folder:
        server = shutil.copy(FOLDER / "hostile_http" / "replay_server.txt", folder)
        loop = {"id": "rd_a", "close": True, "raw": b64encode(LOOP).decode()}
        served = [*known["cases"], loop]
        Path(folder, "cases.json").write_text(json.dumps({"cases": served}))
        process = subprocess.Popen([sys.executable, server], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield Replay(f"127.0.0.1:{process.stdout.readline().strip()}", known["cases"], known["limits"])
        finally:
            process.kill()
            process.communicate()


class Tally:
    """The outcomes of cases; threads may share one. `slowest` in seconds, by case."""

    def __init__(self, replay: Replay, rounds: int) -> None:
        self.endings: dict[str, Counter[str]] = defaultdict(Counter)
        self.slowest: dict[str, float] = defaultdict(float)
        self.cases = (case["id"] for _ in range(rounds) for case in replay.cases)
        self.resident: list[int] = []
        self.needed: list[int] = []
        self.done = 0
        self._replay = replay
        self._lock = threading.Lock()
        rules = Rules()
        self._reader = PageProcessor(
            rules, Scope(rules, [f"http://{replay.address}/"]), int(replay.limits["max_decompressed"])
        )

    def next(self) -> Fetch | None:
        """The next case to fetch."""
        with self._lock:
            case = next(self.cases, None)
        return None if case is None else self.order(case)

    def order(self, case: str) -> Fetch:
        """The fetch of one case."""
        return Fetch(1, f"http://{self._replay.address}/c/{case}")

    def read(self, fetch: Fetch, response: Response) -> str:
        """How a response ends. Raises FetchError."""
        _, event = self._reader.read(fetch, response, time())
        return f"{event.status} {event.truncated}".strip()

    def clock(self, fetch: Fetch, began: float) -> None:
        """Record how long one attempt took."""
        case = fetch.url.rpartition("/")[2]
        with self._lock:
            self.slowest[case] = max(self.slowest[case], monotonic() - began)

    def count(self, fetch: Fetch, ending: str) -> None:
        """Record the outcome of the last attempt."""
        with self._lock:
            self.endings[fetch.url.rpartition("/")[2]][ending] += 1
            self.done += 1
            if self.done % len(self._replay.cases) == 0:
                self.resident.append(resident())
                if len(self.resident) == WARM:
                    self.needed.append(needed())


def play_blocking(client: str, replay: Replay, tally: Tally) -> list[float]:
    """All rounds in threads, a client each; returns how long the good page took each of them at the end."""
    share_arenas()
    good: list[float] = []
    all_done = threading.Barrier(AT_ONCE)

    def work() -> None:
        fetcher = open_fetcher(client, replay.plan())

        def ask(fetch: Fetch) -> str:
            ending = BROKEN
            for _ in range(ATTEMPTS):
                began = monotonic()
                try:
                    ending = tally.read(fetch, fetcher.fetch(Request(fetch.url)))
                except FetchError as error:
                    ending = str(error.kind)
                tally.clock(fetch, began)
                if ending != BROKEN:
                    break
            tally.count(fetch, ending)
            return ending

        while fetch := tally.next():
            ask(fetch)
        all_done.wait()
        began = monotonic()
        assert ask(tally.order(GOOD)) == "200"
        good.append(monotonic() - began)
        fetcher.close()

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return good


async def play(client: str, replay: Replay, tally: Tally) -> list[float]:
    """All rounds in one loop, one client with so many connections; returns how long as many good pages took."""
    fetcher = open_async_fetcher(client, replay.plan())

    async def ask(fetch: Fetch) -> str:
        ending = BROKEN
        for _ in range(ATTEMPTS):
            began = monotonic()
            try:
                ending = tally.read(fetch, await fetcher.fetch(Request(fetch.url)))
            except FetchError as error:
                ending = str(error.kind)
            tally.clock(fetch, began)
            if ending != BROKEN:
                break
        tally.count(fetch, ending)
        return ending

    async def work() -> None:
        while fetch := tally.next():
            await ask(fetch)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    began = monotonic()
    assert await asyncio.gather(*(ask(tally.order(GOOD)) for _ in range(AT_ONCE))) == ["200"] * AT_ONCE
    good = monotonic() - began
    await fetcher.close()
    return [good]


def resident() -> int:
    """The memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def needed() -> int:
    """The same without free memory that the allocator keeps."""
    relieve()
    return resident()


def rounds(client: str, count: int, threads: bool = False) -> dict[str, Any]:
    """Run so many rounds, on a loop or in threads, and return what they leaked."""
    large_blocks_apart()  # as in each process of a crawl
    with replaying() as replay:
        tally = Tally(replay, count)
        began, used, start = monotonic(), process_time(), resident()
        good = play_blocking(client, replay, tally) if threads else asyncio.run(play(client, replay, tally))
        slowest = max(tally.slowest, key=tally.slowest.__getitem__)
        return {
            "client": f"{client} in threads" if threads else client,
            "rounds": count,
            "seconds": monotonic() - began,
            "cpu_seconds": process_time() - used,
            "slowest": slowest,
            "slowest_seconds": tally.slowest[slowest],
            "total_timeout": replay.limits["total_timeout"],
            "good_seconds": max(good),
            "start_bytes": start,
            "resident_bytes": max(tally.resident),
            "resident_by_tenths": tally.resident[:: max(1, count // 10)],
            "growth_bytes": tally.resident[-1] - tally.resident[min(WARM, count) - 1],
            "needed_growth_bytes": needed() - tally.needed[0] if tally.needed else None,
            "max_body": replay.limits["max_body"],
            "unsteady": {case: dict(found) for case, found in tally.endings.items() if len(found) > 1},
            "endings": {case: max(found, key=found.__getitem__) for case, found in tally.endings.items()},
        }


def main() -> None:
    """Run the rounds given on the command line and print what they leaked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", choices=ASYNC_CLIENTS, default="aiohttp")
    parser.add_argument("--threads", action="store_true", help="in threads, not on a loop (native)")
    parser.add_argument("--rounds", type=int, default=1_000)
    said = parser.parse_args()
    print(json.dumps(rounds(said.client, said.rounds, said.threads), indent=2))


if __name__ == "__main__":
    main()
