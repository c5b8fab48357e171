"""`python -m tests.service_load [--rounds N] [--seconds S]`: what clients cost a crawl, and what they cost the service.

The service runs one crawl after the other, of the flat web at its fastest (`cpu`) and of one that takes 50 ms for an
answer, with 16 connections (`latency`). Beside it are, alternating within each round:

    none      no client
    events    LISTENERS clients that read the stream of events
    requests  RATE requests a second to the API, over kept connections
    both      both of them

Printed for each kind of crawl: pages/s as a share of `none` in the same round, the median over the rounds; the CPU of
the service, its CPU per request and per event sent (what `none` uses is subtracted), and the CPU of the clients. The
clients run on this machine. With few cores they take from the crawl what they use themselves, and the service does
not: the share of pages/s has both in it, the CPU per request and per event only the service.

At last clients that read nothing: by how many bytes the service grows with each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any, NamedTuple

from crawler.service.address import ServedAt, read_address
from crawler.service.routing import API
from crawler.testweb.process import start_web
from tests.service.open_service import settings

LISTENERS, RATE, CONNECTIONS = 200, 200, 20
ARMS = ("none", "events", "requests", "both")
KINDS: dict[str, tuple[float, dict[str, Any]]] = {
    "cpu": (0.0, {"concurrency": 64, "per_host": 64}),
    "latency": (0.05, {"concurrency": 16, "per_host": 16}),
}
SPEED = {"cpu": 600, "latency": 300}  # pages/s, about: for the size of a crawl
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 600.0


class Clients(NamedTuple):
    """What a process of clients has done in its time."""

    requests: int
    failed: int
    events: int
    slowest: float
    cpu: float


class Arm(NamedTuple):
    """One crawl beside one kind of clients; times in seconds."""

    rate: float
    seconds: float
    cpu: float
    clients: Clients


# ---- the clients, in a process of their own --------------------------------------------------------------------------


async def load(at: ServedAt, token: str, arm: str) -> None:
    """Listen and ask until stdin ends, then print what was done."""
    host, _, port = at.url.removeprefix("http://").rpartition(":")
    seen: dict[str, float] = {"requests": 0, "failed": 0, "events": 0, "slowest": 0.0}

    def head(path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    async def listen() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head(f"{API}/events"))
        while chunk := await reader.read(65_536):
            seen["events"] += chunk.count(b"\ndata: ")

    async def ask(number: int) -> None:
        paths = [f"{API}/overview", f"{API}/runs?limit=10", f"{API}/jobs", f"{API}/schedules"]
        reader, writer = await asyncio.open_connection(host, int(port))
        at = monotonic() + number / RATE
        while True:
            await asyncio.sleep(max(0.0, at - monotonic()))
            began = monotonic()
            writer.write(head(paths[int(seen["requests"]) % len(paths)]))
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            seen["requests"] += 1
            seen["failed"] += not answer.startswith(b"HTTP/1.1 200")
            seen["slowest"] = max(seen["slowest"], monotonic() - began)
            at = max(at + CONNECTIONS / RATE, monotonic())

    tasks = [asyncio.create_task(listen()) for _ in range(LISTENERS if arm in ("events", "both") else 0)]
    tasks += [asyncio.create_task(ask(number)) for number in range(CONNECTIONS if arm in ("requests", "both") else 0)]
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([over, *tasks], return_when=asyncio.FIRST_COMPLETED)
    assert over.done(), [task.exception() for task in tasks if task.done()]
    used = os.times()
    print(json.dumps({**seen, "cpu": used.user + used.system}), flush=True)
    os._exit(0)


@contextmanager
def clients(data: Path, arm: str) -> Iterator[list[Clients]]:
    """Clients while the block runs; what they did is in the list afterwards."""
    found = list[Clients]()
    command = [sys.executable, "-m", "tests.service_load", "--clients", arm, "--data", str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield found
        told, _ = process.communicate(b"")
        found.append(Clients(**json.loads(told)))


# ---- the service -----------------------------------------------------------------------------------------------------


class RunningService:
    """A service in a process of its own."""

    def __init__(self, at: ServedAt) -> None:
        self._at = at
        self._token = Path(at.token_file).read_text().strip()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer to a request."""
        connection = HTTPConnection(self._at.url.removeprefix("http://"), timeout=60)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection.request(method, f"{API}{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        assert answer.status < 300, found
        return found

    def cpu(self) -> float:
        """Seconds of CPU that its process has used."""
        fields = Path(f"/proc/{self._at.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> int:
        """Its resident memory in bytes."""
        lines = Path(f"/proc/{self._at.pid}/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))

    def crawl(self, job: str) -> tuple[float, float]:
        """Run a job; returns pages/s and its seconds."""
        run = self.ask("POST", f"/jobs/{job}/runs")
        give_up_at = monotonic() + PATIENCE
        while not (found := self.ask("GET", f"/runs/{run['id']}"))["ended_at"]:
            assert monotonic() < give_up_at, found
            sleep(0.25)
        assert found["state"] == "succeeded", found
        return found["summary"]["pages_per_second"], found["summary"]["seconds"]


@contextmanager
def running(data: Path) -> Iterator[RunningService]:
    """A service on a folder, until the block ends."""
    command = [sys.executable, "-m", "crawler", "serve", "--data", str(data), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not (data / "address.json").exists():
                assert process.poll() is None, "the service has not started"
                sleep(0.05)
            yield RunningService(read_address(data))
        finally:
            process.terminate()


def measure(service: RunningService, data: Path, job: str, arm: str) -> Arm:
    """One crawl beside one kind of clients."""
    with clients(data, arm) as found:
        sleep(1.0)  # they connect
        began, used = monotonic(), service.cpu()
        rate, _ = service.crawl(job)
        lasted, used = monotonic() - began, service.cpu() - used
    return Arm(rate, lasted, used, found[0])


def show(kind: str, rounds: list[dict[str, Arm]]) -> None:
    """Print the ratios and costs of one kind of crawl."""
    print(f"\n{kind}: {median(one['none'].rate for one in rounds):,.0f} pages/s without clients")
    idle = median(one["none"].cpu / one["none"].seconds for one in rounds)
    for name in ARMS:
        arms = [one[name] for one in rounds]
        share = median(one[name].rate / one["none"].rate for one in rounds)
        busy = median(arm.cpu / arm.seconds for arm in arms)
        theirs = median(arm.clients.cpu / arm.seconds for arm in arms)
        asked, sent = (sum(getattr(arm.clients, key) for arm in arms) for key in ("requests", "events"))
        extra = sum(max(0.0, arm.cpu - idle * arm.seconds) for arm in arms)
        each = f", {1e6 * extra / asked:,.0f} us a request" if name == "requests" else ""
        each += f", {1e6 * extra / sent:,.0f} us an event" if name == "events" else ""
        print(
            f"{name:>9}: {share:6.1%} of its pages/s; CPU of the service {busy:.1%} of a core, of the clients "
            f"{theirs:.1%}; {asked / sum(arm.seconds for arm in arms):,.0f} requests/s, slowest "
            f"{max(arm.clients.slowest for arm in arms):.2f} s, {sum(arm.clients.failed for arm in arms)} failed, "
            f"{sent:,} events{each}"
        )


def silent_clients(service: RunningService, at: ServedAt, number: int = 200) -> None:
    """Print what clients cost that ask for the events and read none of them."""
    host, _, port = at.url.removeprefix("http://").rpartition(":")
    token = Path(at.token_file).read_text().strip()
    head = f"GET {API}/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    with ExitStack() as stack:
        before = service.memory()
        for _ in range(number):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, int(port)))
            client.sendall(head)
        peak = before
        for name in range(1000):
            service.ask("PATCH", "/jobs/cpu", {"tags": [f"{name}-{one}" * 3 for one in range(20)]})
            peak = max(peak, service.memory())
    print(
        f"\n{number} clients that read nothing, 1,000 events: the service grew from {before / 1e6:.0f} MB to at most "
        f"{peak / 1e6:.0f} MB, {(peak - before) / number / 1e3:.0f} kB a client"
    )


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0, help="about how long one crawl takes")
    parser.add_argument("--clients", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.clients:
        at = read_address(options.data)
        asyncio.run(load(at, Path(at.token_file).read_text().strip(), options.clients))
    with (
        tempfile.TemporaryDirectory(prefix="service-load-") as folder,
        running(data := Path(folder) / "data") as service,
    ):
        for kind, (latency, keys) in KINDS.items():
            with start_web(flat=int(SPEED[kind] * options.seconds), latency=latency) as web:
                service.ask("POST", "/jobs", {"name": kind, "settings": settings(web, **keys)})
                service.crawl(kind)  # warm
                rounds = []
                for number in range(options.rounds):
                    order = ARMS if number % 2 == 0 else ARMS[::-1]
                    rounds.append({arm: measure(service, data, kind, arm) for arm in order})
                show(kind, rounds)
        silent_clients(service, read_address(data))


if __name__ == "__main__":
    main()
