"""The memory use of a crawl under a limit, measured from outside: `python -m tests.memory [--url URL]`.

For each mode and limit (from the least that the mode needs up) it prints the peak of the summed PSS of the process
tree, sampled each 20 ms, and the peak that the crawler reports; pages/s as a share of a run without a limit just
before; the pauses, and whether the digest is that of the run without a limit. With `--cgroup` each crawl runs in a
cgroup of that size and is given no option (cgroup v1 or v2, root).

Without `--url` it crawls a built-in site with few expensive pages: see `reply`. Other load on the machine changes the
shares, so runs with and without a limit alternate, and the best of `--rounds` counts.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import variants
from crawler.metrics.process_tree import _pss, descendants
from crawler.runtime.memory_plan import MOST, least
from crawler.system.memory import CGROUPS, MIB

PAGES = 400
TIMEOUT = 300.0
STEP = 0.02
NO_PAGES = r"\.(png|gif|jpe?g|svg|ico|css|js|json|zip|gz|pdf|txt|c|h|cpp|hpp|py|xml|inv)$"


class Measured(NamedTuple):
    """One crawl. `summary` is its JSON; {} if it printed none."""

    code: int
    peak: int
    summary: dict[str, Any]
    lines: str


def crawl(url: str, mode: str, limit: int | None, cgroup: int | None = None, *more: str) -> Measured:
    """Crawl in a separate process and sample its memory."""
    with tempfile.TemporaryDirectory() as folder, cgroup_of(cgroup) as enter:
        command = [sys.executable, "-m", "crawler", "--mode", mode, "--profile", "fast", "--json", "-q", "--no-robots"]
        command += ["--exclude", NO_PAGES, "--out", f"{folder}/out", *more, url]
        if limit is not None:
            command += ["--max-memory", str(limit)]
        process = subprocess.Popen(
            [*enter, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        peak, give_up_at = 0, time.monotonic() + TIMEOUT
        while process.poll() is None:
            peak = max(peak, sum(map(_pss, (process.pid, *descendants(process.pid)))))
            if time.monotonic() > give_up_at:
                process.kill()
            time.sleep(STEP)
        out, errors = process.communicate()
        return Measured(process.returncode, peak, json.loads(out) if out else {}, errors.strip()[-300:])


def why_no_cgroup() -> str:
    """Why no cgroup can be created on this machine; "" if it can."""
    try:
        with cgroup_of(512 * MIB):
            return ""
    except OSError as error:
        return f"no cgroup can be made here: {error}"


@contextmanager
def cgroup_of(size: int | None) -> Iterator[list[str]]:
    """The prefix of a command that runs it in a cgroup of so many bytes; no cgroup for None."""
    if size is None:
        yield []
        return
    v1 = (CGROUPS / "memory").is_dir()
    group = (CGROUPS / "memory" if v1 else CGROUPS) / f"crawler-{os.getpid()}-{time.monotonic_ns()}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(str(size))
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.05)


def reply(path: str, pages: int, huge: bool) -> tuple[str, str, bytes]:
    """Content type, coding and body of a page: usual ones, pages that are heavy to parse, large downloads, and bodies
    that are small compressed and large decompressed. `huge`: one is larger than a small limit."""
    number = int(path.strip("/") or 0)
    dice = random.Random(number)
    if number == 0:
        return "text/html", "", b"".join(b"<a href=/%d>x</a>" % other for other in range(1, pages))
    if huge and number == 1:
        return "application/octet-stream", "", bytes(64 * MIB)
    if number % 40 == 7:
        return "application/octet-stream", "", dice.randbytes(6 * MIB)
    if number % 40 == 17:
        return "text/html", "gzip", gzip.compress(b"<p>very much of the same</p>" * (9 * MIB // 28), 1)
    if number % 20 == 3:
        return "text/html", "", b"<ul>" + b"<li><a href=/%d>more</a>" % number * (MIB // 24) + b"</ul>"
    return "text/html", "", b"<p>" + dice.randbytes(15_000).hex().encode()


async def _serve(pages: int, huge: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            while (await reader.readline()).strip():
                pass
            kind, coding, body = reply(line.split()[1].decode(), pages, huge)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            head += f"Content-Encoding: {coding}\r\n" if coding else ""
            writer.write(head.encode() + b"\r\n" + body)
            await writer.drain()
    except (ConnectionError, ValueError):
        pass
    finally:
        writer.close()


async def _listen(pages: int, huge: bool) -> None:
    server = await asyncio.start_server(functools.partial(_serve, pages, huge), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


@contextmanager
def costly_site(pages: int = PAGES, huge: bool = False) -> Iterator[str]:
    """The URL of the site that `reply` describes, served by a process that is not a child of a crawl."""
    command = [sys.executable, "-m", "tests.memory", "--serve", str(pages), *(["--huge"] if huge else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdin is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/"
        server.stdin.close()


def measure(url: str, mode: str, limit: int, in_cgroup: bool, rounds: int) -> str:
    """One row of the table."""
    share, worst, shown = 0.0, 0, None
    for _ in range(rounds):
        free = crawl(url, mode, None)
        held = crawl(url, mode, None if in_cgroup else limit, limit if in_cgroup else None)
        shown = held
        worst = max(worst, held.peak)
        if held.summary and free.summary and free.summary["pages_per_second"]:
            share = max(share, held.summary["pages_per_second"] / free.summary["pages_per_second"])
    assert shown is not None
    summary = shown.summary
    same = (
        bool(summary)
        and summary["digest"] == free.summary.get("digest")
        and summary["urls"] == free.summary.get("urls")
    )
    if not same:
        print(
            "differs:", summary.get("reasons"), "without a limit:", free.code, free.summary.get("reasons"), free.lines
        )
    return (
        f"{mode:10} {'cgroup' if in_cgroup else 'flag':7} {limit // MIB:6} {worst // MIB:6}"
        f" {summary.get('peak_memory_bytes', 0) // MIB:6} {free.peak // MIB:6} {share:6.2f} {shown.code:4}"
        f" {'yes' if same else 'NO':4} {'OVER' if worst > limit else '':5}"
        f" {summary.get('pauses')} unread {summary.get('unread')} {shown.lines}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--mode", action="append", choices=variants.names())
    parser.add_argument("--limit", action="append", help="least, least*2 or MiB", default=None)
    parser.add_argument("--cgroup", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--huge", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(_listen(args.serve, args.huge))
        return
    print("mode       by       limit   peak    own   free  share code same")
    with costly_site() if args.url is None else _at(args.url) as url:
        for mode in args.mode or variants.names():
            processes = 2 if mode in variants.FORKED else 1
            needed = least(mode, processes)
            if args.cgroup:  # of which only a share is used
                needed = int(needed / MOST) + MIB
            sizes = {"least": needed, "least*2": 2 * needed}
            for limit in args.limit or ["least", "least*2", "512", "1024"]:
                size = sizes.get(limit) or int(limit) * MIB
                print(measure(url, mode, size, args.cgroup, args.rounds), flush=True)


@contextmanager
def _at(url: str) -> Iterator[str]:
    yield url


if __name__ == "__main__":
    main()
