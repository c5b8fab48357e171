"""What a URL costs in the PostgreSQL frontier: `python -m tests.frontier_costs [--shards 4] [--urls 20000]`.

Each shard is a process that commits batches as a crawl does: links that are admitted, then their ends, and links sent
to another shard and acknowledged, as many for each URL as `tests.cluster_plan` has counted. CPU of the clients and of
the server is measured apart, because on a shared machine only CPU time can be compared; rows/s is what this run
reached.
"""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from time import monotonic, process_time

from crawler.core.messages import Link, OutboxLink, Settled, ShardOutput
from crawler.core.reasons import Reason
from crawler.storage.frontier.base import Batch
from crawler.storage.postgres.frontier import PostgresFrontier
from crawler.storage.postgres.session import Database
from tests.database_server import DatabaseServer
from tests.faults.crawlers import living

BATCH = 200
SENT = 2.73
"""Links to other shards for each page."""
ROWS = 2 + 2 * SENT
"""Rows of a URL: inserted, settled, and those of its links, inserted and deleted."""
TICKS = os.sysconf("SC_CLK_TCK")


def server_seconds(parent: int) -> float:
    """CPU seconds of a server: of its living processes and of those that have ended."""
    ticks = 0
    for pid, above, _ in living():
        if parent in (pid, above):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15] if pid == parent else fields[11:13]))
    return ticks / TICKS


def work(database: Database, shard: int, urls: int) -> float:
    """Commit so many URLs. Returns CPU seconds."""
    with closing(PostgresFrontier(database, 1, shard)) as frontier:
        began = process_time()
        for first in range(1, urls + 1, BATCH):
            ids = range(first, first + BATCH)
            links = [Link(n, f"https://host-{n % 500}.test/articles/page-{n}-of-{shard}.html", 3) for n in ids]
            sent = range(int(first * SENT), int((first + BATCH) * SENT))
            foreign = [OutboxLink(seq, shard + 1, Link(0, f"https://other.test/{seq}", 4)) for seq in sent]
            frontier.commit(Batch(queued=links, outputs=[ShardOutput(foreign=foreign)]), 1.0)
            ends = [Settled(one.id, one.url, Reason.OK, 200, 1, 20_000, bytes(16), "1-000", one.id) for one in links]
            frontier.commit(Batch(settled=ends, outputs=[ShardOutput(acknowledged=[*sent])]), 2.0)
        return process_time() - began


def main() -> None:
    """Run all shards at once and print what a URL cost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--urls", type=int, default=20_000)
    args = parser.parse_args()
    server = DatabaseServer()
    try:
        database = Database(server.url, server.password)
        PostgresFrontier(database, 1).close()
        before, began = server_seconds(server.pid), monotonic()
        with get_context("spawn").Pool(args.shards) as pool:
            jobs = [(database, shard, args.urls) for shard in range(args.shards)]
            clients = sum(pool.starmap(work, jobs))
        took, used = monotonic() - began, server_seconds(server.pid) - before
    finally:
        server.close()
    urls = args.shards * args.urls
    micros = 1e6 / urls
    print(f"{clients * micros:.0f} us of the clients and {used * micros:.0f} us of the server a URL of {ROWS:.1f} rows")
    print(f"{urls * ROWS / took:,.0f} rows/s; {urls * ROWS / used:,.0f} rows a CPU second of the server")


if __name__ == "__main__":
    main()
