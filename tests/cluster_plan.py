"""What a crawl of a billion URLs by many shards would ask of its parts, and what gives way first.

    python -m tests.cluster_plan [--shards 1000] [--pages 200000] [--hosts 10000000] [--markdown FILE]

Two experiments and some arithmetic:
- Traffic: that many real shards (`ShardedCrawl`, `ShardCoordinator`) crawl a sample of a web on a virtual clock, with
  1 s between fetches of a host. Counted are messages, bytes and rows of the frontier per page. They do not depend on
  the size of the web, but on its links, which `Web` draws.
- Placement: the sizes of all hosts of a billion URLs are drawn, and each host is given to its shard as a crawl does.
- The rest is multiplication: `Capacity` names what a part can do, and where each figure is from.

A page here is a URL that was fetched. A shard commits once a second, and sends what it has for another shard then.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from crawler.core.messages import Acknowledged, Actions, Discovered, Event, Fetch, Fetched, LinksReceived, Stop
from crawler.core.rules import Rules
from crawler.core.shards.coordinator import DomainQuotaWanted, Outgoing, Posted, ShardCoordinator, Status
from crawler.core.shards.shard import Shard
from crawler.core.shards.sharded import ShardedCrawl
from crawler.core.urls.scope import Scope

BILLION = 1_000_000_000
TICK = 1.0
ROOM = 100
SPREAD = 2.0
"""Sigma of the lognormal sizes of hosts: most have a few pages, one in ten thousand has thousands."""
NAVIGATION, ELSEWHERE = 12, 3
"""Links of a page to known pages of its host, and to other hosts: a choice, near what documentation and news have."""
FAN = 8
SEED = 1


class Web:
    """A web of so many pages. Page n of a host links to pages 2n + 1 and 2n + 2, and a root to the roots of FAN hosts,
    so that all is found; the other links lead to what is known."""

    def __init__(self, pages: int, hosts: int) -> None:
        self._dice = random.Random(SEED)
        drawn = [self._dice.lognormvariate(0.0, SPREAD) for _ in range(hosts)]
        each = pages / math.fsum(drawn)
        self.sizes = [max(1, round(size * each)) for size in drawn]

    def url(self, host: int, page: int) -> str:
        """The address of a page."""
        return f"http://h{host}.test/articles/page-{page}.html"

    def answer(self, fetch: Fetch) -> Event:
        """What the server answers."""
        if fetch.robots:
            return Fetched(fetch.id, 404)
        name, _, rest = fetch.url.removeprefix("http://h").partition(".test/articles/page-")
        host, page = int(name), int(rest.removesuffix(".html"))
        return Fetched(fetch.id, 200, tuple(self._links(host, page)), size=20_000)

    def _links(self, host: int, page: int) -> Iterator[str]:
        size = self.sizes[host]
        yield from (self.url(host, child) for child in (2 * page + 1, 2 * page + 2) if child < size)
        yield from (self.url(host, self._dice.randrange(size)) for _ in range(min(NAVIGATION, size)))
        if page == 0:
            hosts = range(FAN * host + 1, min(FAN * host + FAN + 1, len(self.sizes)))
            yield from (self.url(other, 0) for other in hosts)
        for _ in range(ELSEWHERE):
            other = self._dice.randrange(len(self.sizes))
            yield self.url(other, self._dice.randrange(self.sizes[other]))


class Traffic:
    """Real shards on a virtual clock, their messages delivered a tick later, and what was counted."""

    def __init__(self, web: Web, shards: int) -> None:
        rules = Rules(  # none of the limits of endless sites: the sample is crawled whole
            delay=1.0,
            scope="any",
            merge_same_pages=False,
            pattern_pages=BILLION,
            max_host_pages=BILLION,
        )
        seeds = (web.url(0, 0),)
        self.web = web
        self.count: Counter[str] = Counter()
        self.pages_of = [0] * shards
        self._board = ShardCoordinator(shards, None, None, per_domain=rules.max_domain_pages)
        self._crawls = [ShardedCrawl(rules, Scope(rules, seeds), SEED, Shard(index, shards)) for index in range(shards)]
        self._inbox: list[list[Event]] = [[Discovered(seeds)] for _ in range(shards)]
        self._read = [-1] * shards  # the seeds do not come from the coordinator
        self._landing: list[tuple[float, int, int, Event]] = []
        self._wake: list[tuple[float, int]] = [(0.0, index) for index in range(shards)]
        self._status: list[Status | None] = [None] * shards
        self._landed = 0
        self.now = 0.0
        for index in range(shards):
            self._deliver(self._board.shard_started(index, 0))

    def run(self) -> None:
        """Crawl to the end."""
        while not self._board.over:
            due = {index for index, inbox in enumerate(self._inbox) if inbox}
            events: dict[int, list[Event]] = {index: self._take(index) for index in due}
            while self._landing and self._landing[0][0] <= self.now:
                _, _, index, event = heapq.heappop(self._landing)
                events.setdefault(index, []).append(event)
            while self._wake and self._wake[0][0] <= self.now:
                events.setdefault(heapq.heappop(self._wake)[1], [])
            for index, arrived in events.items():
                self._step(index, arrived)
            self.now += TICK
        self._deliver([(index, Stop()) for index in range(len(self._crawls))])
        assert self.count["pages"] == sum(self.web.sizes), "a page of the sample was not crawled"

    def _take(self, index: int) -> list[Event]:
        arrived, self._inbox[index] = self._inbox[index], []
        self._read[index] += len(arrived)
        return arrived

    def _step(self, index: int, events: list[Event]) -> None:
        actions = self._crawls[index].step(events, room=ROOM, now=self.now)
        for fetch in actions.fetches:
            self._landed += 1
            event = self.web.answer(fetch)
            heapq.heappush(self._landing, (self.now + TICK / 2, self._landed, index, event))
            if not fetch.robots:
                self.pages_of[index] += 1
        if actions.wake_at is not None:
            heapq.heappush(self._wake, (actions.wake_at, index))
        self._count_rows(actions)
        self._send(index, actions)

    def _count_rows(self, actions: Actions) -> None:
        output = actions.output
        assert output is not None and not actions.refill_requests, "the sample must fit the windows of its shards"
        self.count["pages"] += sum(one.attempts > 0 for one in actions.settled)
        self.count["rows inserted"] += len(actions.queued) + len(output.foreign)
        self.count["rows updated"] += len(actions.settled) + len(actions.retries) + len(actions.notes)
        self.count["rows deleted"] += len(output.acknowledged) + len(output.transferred)

    def _send(self, index: int, actions: Actions) -> None:
        output = actions.output
        assert output is not None
        batches: dict[int, list[object]] = {}
        for foreign in output.foreign:
            batches.setdefault(foreign.to, []).append(foreign)
        for to, links in batches.items():
            batch = LinksReceived(index, tuple(links))  # type: ignore[arg-type]
            self._post(to, batch)
            self.count["links sent"] += len(links)
        receipts: dict[int, list[int]] = {}
        for sender, seq in output.received:
            receipts.setdefault(sender, []).append(seq)
        for sender, seqs in receipts.items():
            self._post(sender, Acknowledged(tuple(seqs)))
        for domain in output.domains:
            self.count["requests for pages of a domain"] += 1
            self._deliver(self._board.grant_domain(index, DomainQuotaWanted(domain)))
        for note in output.notes:
            self._deliver(self._board.note(index, note))
        status = Status(
            self._read[index], output.quiet, output.wants, output.returned, output.seeds_settled, output.size
        )
        if status != self._status[index]:
            self._status[index] = status
            self.count["reports to the coordinator"] += 1
            self._deliver(self._board.update_status(index, status))

    def _post(self, to: int, event: Event) -> None:
        self.count["messages between shards"] += 1
        self.count["bytes between shards"] += len(msgspec.msgpack.encode(event))
        self._deliver([self._board.route(Posted(to, event))])

    def _deliver(self, outgoing: list[Outgoing]) -> None:
        self.count["messages through the coordinator"] += len(outgoing)
        for to, event in outgoing:
            self._inbox[to].append(event)


class Capacity(NamedTuple):
    """What one part can do: its unit per page or per second, and where the figure is from."""

    what: str
    limit: float
    source: str


CAPACITIES = {
    "database": Capacity(
        "frontier rows/s of one PostgreSQL",
        40_000.0,
        "a core of the server: 150 us a URL of six rows, on a loaded machine",
    ),
    "coordinator": Capacity("messages/s of one coordinator", 20_000.0, "one core; assumed, not measured"),
    "shard": Capacity("pages/s of one shard", 150.0, "prefork on one core, documentation pages of 30 kB"),
}


class Placement(NamedTuple):
    """How evenly URLs lie on shards: the largest share over the mean, the shards without any, the largest host."""

    shards: int
    skew: float
    idle: int
    largest_host: float


def placements(hosts: int, shards: tuple[int, ...], urls: int = BILLION) -> list[Placement]:
    """Draws the sizes of all hosts once, and places them on each number of shards."""
    dice = random.Random(SEED)
    divided = [Shard(0, count) for count in shards]
    loads = [[0.0] * count for count in shards]
    total = largest = 0.0
    for host in range(hosts):
        size, name = dice.lognormvariate(0.0, SPREAD), f"http://h{host}.test"
        for shard, load in zip(divided, loads, strict=True):
            load[shard.owner(name)] += size
        total += size
        largest = max(largest, size)
    return [
        Placement(count, max(load) * count / total, load.count(0.0), largest / total * urls)
        for count, load in zip(shards, loads, strict=True)
    ]


def report(traffic: Traffic, placed: list[Placement], shards: int) -> str:
    """All of it as Markdown, with the arithmetic."""
    pages = traffic.count["pages"]
    rows = sum(traffic.count[name] for name in ("rows inserted", "rows updated", "rows deleted"))
    lines = [
        f"{pages:,} pages of {len(traffic.web.sizes):,} hosts, crawled by {shards:,} shards on a virtual clock in"
        f" {traffic.now:,.0f} s, 1 s between fetches of a host.",
        "",
        "| counted | in all | per page |",
        "|---|---|---|",
        *(f"| {name} | {number:,} | {number / pages:.2f} |" for name, number in sorted(traffic.count.items())),
        f"| frontier rows | {rows:,} | {rows / pages:.2f} |",
        "",
        "| shards | largest share of the URLs, over the mean | shards without a URL | largest host of 1e9 URLs |",
        "|---|---|---|---|",
        *(f"| {one.shards:,} | {one.skew:.2f} | {one.idle:,} | {one.largest_host:,.0f} |" for one in placed),
        "",
        *_arithmetic(rows / pages, traffic.count["messages through the coordinator"] / pages, placed, shards),
    ]
    return "\n".join(lines) + "\n"


def _arithmetic(rows: float, messages: float, placed: list[Placement], shards: int) -> Iterator[str]:
    here = next(one for one in placed if one.shards == shards)
    yield "| URLs | days at full speed | databases | coordinators | largest host at 1 s, days |"
    yield "|---|---|---|---|---|"
    for factor in (1, 10, 100):
        speed = shards * CAPACITIES["shard"].limit / here.skew  # the fullest shard decides when the crawl is over
        days = factor * BILLION / speed / 86_400
        databases = speed * rows / CAPACITIES["database"].limit
        coordinators = speed * messages / CAPACITIES["coordinator"].limit
        waits = factor * here.largest_host / 86_400
        yield f"| {factor}e9 | {days:,.1f} | {databases:,.1f} | {coordinators:,.1f} | {waits:,.1f} |"
    yield ""
    yield "Capacities: " + "; ".join(f"{one.what} {one.limit:,.0f} ({one.source})" for one in CAPACITIES.values()) + "."


def main() -> None:
    """Run both experiments and print what they say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--pages", type=int, default=200_000)
    parser.add_argument("--hosts", type=int, default=10_000_000)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    traffic = Traffic(Web(args.pages, args.pages // 20), args.shards)
    traffic.run()
    numbers = tuple(sorted({4, 16, 64, 256, args.shards}))
    text = report(traffic, placements(args.hosts, numbers), args.shards)
    print(text)
    if args.markdown:
        args.markdown.write_text(text)


if __name__ == "__main__":
    main()
