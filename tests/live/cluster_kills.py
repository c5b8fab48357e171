"""Kills parts of a cluster while a crawl runs on it, and checks the crawl: `python -m tests.live.cluster_kills --help`.

The crawl is `--mode ray` on a head and two other nodes of this machine, its URLs in PostgreSQL, its pages in an S3
server. By a seed one victim after another is struck at a random moment: the process of a shard (`actor`), a `raylet`
alone, a whole `node`, the `driver`, the `database`, the `objects`. A `zombie` is a node that is stopped until its
shards run elsewhere, and then continued: the frontier must refuse what they write. `moved`: a node is added, another is
removed. Servers are started again at once, nodes are replaced once all shards run again on the others. The next kill
follows when the server gets requests. A crawl that completes is checked by the invariants of
`tests.faults.invariants` and followed by another.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec

from crawler.testweb.settings import to_toml
from tests.database_server import PASSWORD, DatabaseServer
from tests.faults.crawlers import Crawler, Summary
from tests.faults.invariants import ON_ITS_WAY, Truth
from tests.live.test_remote import places
from tests.object_server import ObjectServer
from tests.ray_nodes import RayNodes, send

SHARDS, WORKERS = 3, 2
PATIENCE = 180.0
SEEN_AGAIN = 10
"""Requests that the server must get before a crawl counts as going on."""
REFUSED = "SELECT coalesce(sum(refused), 0) FROM crawler.shard"


class ClusterReport(msgspec.Struct):
    """The counts of a campaign; by victim the seconds from the blow until all shards ran again."""

    kills: int = 0
    crawls: int = 0
    repeated: int = 0
    most_repeated_by_one_kill: int = 0
    refused: int = 0
    recovered: dict[str, list[float]] = {}


class ClusterCampaign:
    """Kills by a seed, over as many crawls as it takes."""

    def __init__(self, hosts: int, pages: int, concurrency: int, seed: int) -> None:
        self.report = ClusterReport()
        self._concurrency = concurrency
        self._dice = random.Random(seed)
        self._truth = Truth(hosts, pages)
        self._database, self._objects = DatabaseServer(), ObjectServer()
        self._nodes = RayNodes(WORKERS)
        self._waiting: list[str] = []
        self._struck: list[float] = []
        self._back_at: float | None = None  # when all shards ran again, where the victim's replacement took longer
        self._folder = Path()
        self._crawler: Crawler
        self._victims: dict[str, Callable[[], float]] = {
            "actor": self._kill_shard,
            "raylet": self._kill_raylet,
            "node": self._kill_node,
            "driver": self._kill_driver,
            "database": self._kill_database,
            "objects": self._kill_objects,
            "zombie": self._revive,
            "moved": self._move,
        }

    def close(self) -> None:
        """End all servers."""
        self._nodes.close()
        self._database.close()
        self._objects.close()

    def run(self, kills: int, life: tuple[float, float]) -> ClusterReport:
        """Kill until the count is reached. Each victim is struck about equally often; `life` bounds the seconds before
        each blow."""
        names = [*self._victims]
        self._waiting = [names[number % len(names)] for number in range(kills)]
        self._dice.shuffle(self._waiting)
        while self._waiting:
            with tempfile.TemporaryDirectory() as name:
                self._crawl(Path(name), life)
            self.report.crawls += 1
        self.report.refused = self._refused()
        return self.report

    def _crawl(self, folder: Path, life: tuple[float, float]) -> None:
        self._struck, self._folder = [], folder
        with self._truth.serve(folder) as web:
            (folder / "web.toml").write_text(places(self._database, self._objects) + to_toml(web.settings))
            self._start()
            self._wait_until_it_goes_on(0)
            while self._waiting and self._lives(self._dice.uniform(*life)):
                self._strike(self._waiting.pop())
            summary = self._wait_for_end()
            toll = self._truth.check(folder, web, summary, self._struck, self._concurrency)
        self.report.repeated += toll.repeated
        self.report.most_repeated_by_one_kill = max(self.report.most_repeated_by_one_kill, toll.most)

    def _start(self) -> None:
        self._crawler = Crawler(self._folder, f"ray:{SHARDS}", self._concurrency, "--ray-address", self._nodes.address)

    def _lives(self, seconds: float) -> bool:
        """Whether the crawl still runs after so many seconds, with shards."""
        until = monotonic() + seconds
        while monotonic() < until and not self._crawler.ended():
            sleep(0.01)
        return not self._crawler.ended() and bool(self._nodes.all_shards())

    def _wait_for_end(self) -> Summary:
        return self._crawler.wait(PATIENCE)

    def _strike(self, victim: str) -> None:
        began = hit_at = monotonic()
        self._back_at = None
        until = self._victims[victim]()
        while hit_at < until + ON_ITS_WAY:  # what is struck may go on until then, and be asked for again
            self._struck.append(hit_at)
            hit_at += ON_ITS_WAY
        self._wait_until_it_goes_on(self._requests())
        took = (self._back_at or monotonic()) - began
        self.report.kills += 1
        if not self._crawler.ended():
            self.report.recovered.setdefault(victim, []).append(round(took, 2))
        print(f"{self.report.kills}: {victim}, {took:.1f} s", file=sys.stderr, flush=True)

    def _requests(self) -> int:
        log = self._folder / "web.log"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    def _wait_until_it_goes_on(self, seen: int) -> None:
        """Wait until all shards run and the server got some more requests, or the crawl has ended."""
        until = monotonic() + PATIENCE
        while not self._crawler.ended():
            if len(self._nodes.all_shards()) >= SHARDS and self._requests() >= seen + SEEN_AGAIN:
                return
            assert monotonic() < until, f"it does not go on: {self._nodes.all_shards()}, {self._requests() - seen}"
            sleep(0.05)

    # ---- victims; each returns until when what was struck may have gone on ------------------------------------------

    def _kill_shard(self) -> float:
        send(self._dice.sample(sorted(self._nodes.all_shards()), 1), signal.SIGKILL)
        return monotonic()

    def _busy_node(self) -> Any:
        """A node with shards, or any."""
        return self._dice.choice([node for node in self._nodes.nodes if self._nodes.shards(node)] or self._nodes.nodes)

    def _kill_raylet(self) -> float:
        node = self._busy_node()
        shards = self._nodes.shards(node)
        send([self._nodes.raylet(node)], signal.SIGKILL)
        self._wait_for_others(shards)
        self._wait_for_death(shards)
        died_at = monotonic()
        self._nodes.forget(node)
        self._nodes.grow()
        return died_at

    def _kill_node(self) -> float:
        node = self._busy_node()
        shards = self._nodes.shards(node)
        send(self._nodes.processes(node), signal.SIGKILL)
        died_at = monotonic()
        self._wait_for_others(shards)
        self._nodes.forget(node)
        self._nodes.grow()
        return died_at

    def _kill_driver(self) -> float:
        shards = self._nodes.all_shards()
        os.kill(self._crawler.process.pid, signal.SIGKILL)
        self._crawler.reap()
        self._start()
        self._wait_for_death(shards)
        return monotonic()

    def _kill_database(self) -> float:
        self._database.kill()
        self._database.start()
        return monotonic()

    def _kill_objects(self) -> float:
        self._objects.kill()
        self._objects.start()
        return monotonic()

    def _revive(self) -> float:
        """Stop a node until its shards run elsewhere, then let these go on until the frontier has refused them."""
        node = self._busy_node()
        shards, refused = self._nodes.shards(node), self._refused()
        send(self._nodes.processes(node), signal.SIGSTOP)
        self._nodes.grow()
        self._wait_for_others(shards)
        seen = self._requests()
        self._wait_for(lambda: self._requests() >= seen + SEEN_AGAIN, "the others do not go on")
        if not self._crawler.ended():
            send(shards, signal.SIGCONT)
            self._wait_for(lambda: self._refused() > refused, "nothing was refused")
        send(self._nodes.processes(node), signal.SIGKILL)
        self._nodes.forget(node)
        return monotonic()

    def _move(self) -> float:
        self._nodes.grow()
        node = self._busy_node()
        shards = self._nodes.shards(node)
        self._nodes.remove(node)
        self._wait_for_others(shards)
        self._wait_for_death(shards)
        return monotonic()

    def _wait_for_others(self, shards: set[int]) -> None:
        """Wait until all shards run again, these not counted."""
        self._wait_for(lambda: len(self._nodes.all_shards() - shards) >= SHARDS, "they do not run elsewhere")
        self._back_at = monotonic()

    def _wait_for_death(self, shards: set[int]) -> None:
        self._wait_for(lambda: not shards & self._nodes.all_shards(), "shards live on")

    def _wait_for(self, condition: Callable[[], bool], otherwise: str) -> None:
        until = monotonic() + PATIENCE
        while not condition() and not self._crawler.ended():
            assert monotonic() < until, otherwise
            sleep(0.05)

    def _refused(self) -> int:
        """How often the frontiers have refused to be written by a process that no longer owns them."""
        import psycopg

        with psycopg.connect(self._database.url, password=PASSWORD) as connection:
            (refused,) = connection.execute(REFUSED).fetchone() or (0,)
            return int(refused)


def main() -> None:
    """Run a campaign from the command line and print what it counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--life", type=float, nargs=2, default=(0.5, 3.0), help="seconds before a blow, from and to")
    parser.add_argument("--hosts", type=int, default=40)
    parser.add_argument("--pages", type=int, default=6000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    campaign = ClusterCampaign(chosen.hosts, chosen.pages, chosen.concurrency, chosen.seed)
    try:
        report = campaign.run(chosen.kills, tuple(chosen.life))
    finally:
        campaign.close()
    print(json.dumps(msgspec.to_builtins(report)))


if __name__ == "__main__":
    main()
