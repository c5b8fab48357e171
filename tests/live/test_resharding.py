"""Rows are moved between the files of shards without loss, whatever is killed on the way."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crawler.core.messages import Budget, HostNote, Link, OutboxLink, Settled, ShardOutput
from crawler.core.reasons import Reason
from crawler.core.shards.shard import Shard
from crawler.core.urls.canonical import host_of
from crawler.settings import Settings
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.base import Batch
from crawler.storage.resharding import ensure_layout

HOSTS, PAGES, BEYOND = 60, 100, 1500
POLITE = Settings(seeds=("http://h0.test/",))
FAST = Settings(seeds=("http://h0.test/",), delay=0.0, per_host=8)
MOVE = """
import sys
from pathlib import Path
from crawler.storage.directory import CrawlDirectory
from crawler.storage.resharding import ensure_layout
from crawler.settings import Settings
directory = CrawlDirectory.open(Path(sys.argv[1]))
ensure_layout(directory, Settings(seeds=("http://h0.test/",)), int(sys.argv[2]))
"""


def link(number: int) -> Link:
    host = number % HOSTS
    return Link(number, f"http://h{host}.test/{number}", 3, ("http://h0.test/",) if number % 7 == 0 else ())


def beyond(number: int) -> Link:
    return Link(0, f"http://h{number % HOSTS}.test/deep/{number}", 9, ("http://h0.test/",))


def end(number: int) -> Settled:
    return Settled(number, link(number).url, Reason.OK, 200, 1, 10, b"d" * 16, "0001-000", number, "", 0, "text/html")


@pytest.fixture
def directory(tmp_path: Path) -> CrawlDirectory:
    """A crawl of one shard: half of its URLs settled, two on their way to another shard, one of them known."""
    made = CrawlDirectory.create(tmp_path / "c", POLITE, demo=False, fresh=False)
    ensure_layout(made, POLITE, 1)
    made.begin_run(POLITE)
    count = HOSTS * PAGES
    with closing(made.frontier()) as frontier:
        frontier.commit(Batch(queued=[link(number) for number in range(1, count + 1)]), 1.0)
        frontier.commit(Batch(settled=[end(number) for number in range(1, count + 1, 2)]), 2.0)
        notes = [HostNote(f"http://h{host}.test", "", time.time() + 999, 5.0 * (host % 2)) for host in range(HOSTS)]
        on_their_way = [OutboxLink(1, 1, link(count)), OutboxLink(2, 1, link(count + 1))]
        on_their_way += [OutboxLink(3, 1, beyond(1), beyond=True), OutboxLink(4, 1, beyond(2), beyond=True)]
        frontier.commit(Batch(notes=notes, beyond=[beyond(n) for n in range(2, BEYOND)]), 3.0)
        frontier.commit(Batch(outputs=[ShardOutput(foreign=on_their_way)]), 3.0)
    made.close()
    return CrawlDirectory.open(made.path)


def content(directory: CrawlDirectory) -> tuple[Any, ...]:
    """The complete state of a crawl, from all shards."""
    with closing(directory.open_frontiers()) as frontier:
        owed = {(one.url, one.depth, one.via) for one in frontier.owed()}
        settled = {(row.url, row.part, row.position, row.digest, row.settled_at) for row in frontier.settled()}
        notes = sorted((note.host, note.robots, note.delay) for note in frontier.notes())
        urls = list(frontier.urls())
        tally = frontier.tally()
        assert len(urls) == len(set(urls)) == tally.queued
        too_deep = sorted((one.url, one.depth, one.via) for one in frontier.beyond())
        assert len(too_deep) == tally.too_deep == BEYOND - 1
        return owed, settled, notes, tally, too_deep


def lies_at_home(directory: CrawlDirectory, shards: int, by_url: bool) -> None:
    for number in range(shards):
        with closing(directory.frontier(number)) as frontier:
            for url in (*frontier.urls(), *(one.url for one in frontier.beyond())):
                host = host_of(url)
                spread = by_url and int(host.removeprefix("http://h").removesuffix(".test")) % 2 == 0
                assert Shard(0, shards).owner(url if spread else host) == number


def is_moving(path: Path) -> bool:
    return CrawlDirectory.open_readonly(path).manifest.layout == ""


@pytest.mark.parametrize(("settings", "by_url"), [(POLITE, False), (FAST, True)])
def test_rows_are_moved_to_their_shards_and_nothing_else_changes(
    directory: CrawlDirectory, settings: Settings, by_url: bool
) -> None:
    ensure_layout(directory, settings, 3)
    first = content(directory)
    owed, settled, *_ = first
    assert len(owed) + len(settled) == HOSTS * PAGES + 1, "an unknown link in transit is owed"
    lies_at_home(directory, 3, by_url)
    for shards in (2, 4, 1):
        ensure_layout(directory, settings, shards)
        assert content(directory) == first
        lies_at_home(directory, shards, by_url)


@pytest.mark.parametrize("stops", [False, True])
def test_the_budgets_used_by_hosts_are_kept_in_a_move(directory: CrawlDirectory, stops: bool) -> None:
    stopped = "/0: the same" if stops else ""
    with closing(directory.frontier()) as frontier:
        budgets = [Budget(f"http://h{n}.test", mark, 12 * n, stopped=stopped) for n in range(HOSTS) for mark in (0, 9)]
        frontier.commit(Batch(budgets=budgets), 4.0)

    def pages(host: str, shards: int) -> list[list[int]]:
        found = []
        for number in range(shards):
            with closing(directory.frontier(number)) as frontier:
                spent = sorted(frontier.budgets(host), key=lambda one: one.pattern)
            assert {one.stopped for one in spent} <= {stopped}
            found.append([one.pages for one in spent])
        return found

    for shards in (3, 2, 1):
        ensure_layout(directory, POLITE, shards)
        for n in range(0, HOSTS, 7):
            spent = pages(f"http://h{n}.test", shards)
            assert sorted(spent) == [[]] * (shards - 1) + [[12 * n] * 2], "at the owner of the host only"
    ensure_layout(directory, FAST, 3)
    assert pages("http://h2.test", 3) == [[24, 24]] * 3, "a spread host: each shard has the total"
    assert sorted(pages("http://h3.test", 3)) == [[], [], [36, 36]], "its note has a delay"


def test_a_url_beyond_the_depth_limit_admitted_by_another_shard_is_removed_in_a_move(directory: CrawlDirectory) -> None:
    ensure_layout(directory, POLITE, 2)
    here, there = (directory.frontier(number) for number in (0, 1))
    taken = next(here.beyond())
    there.commit(Batch(queued=[replace(taken, id=there.next_id())]), 5.0)
    for frontier in (here, there):
        frontier.close()
    ensure_layout(directory, POLITE, 1)
    with closing(directory.frontier()) as frontier:
        assert taken.url in set(frontier.urls())
        assert taken.url not in {one.url for one in frontier.beyond()}
        assert frontier.tally().too_deep == BEYOND - 2


def test_a_frontier_half_created_by_a_kill_is_completed_in_any_layout(tmp_path: Path) -> None:
    made = CrawlDirectory.create(tmp_path / "c", POLITE, demo=False, fresh=False)
    half = made.path / "shard-0001" / "frontier.sqlite"
    half.parent.mkdir()
    half.touch()
    ensure_layout(made, POLITE, 1)
    with closing(made.open_frontiers()) as frontier:
        assert frontier.tally().queued == 0


def test_the_same_layout_changes_nothing(directory: CrawlDirectory) -> None:
    ensure_layout(directory, POLITE, 3)
    before = directory.manifest
    ensure_layout(directory, POLITE, 3)
    assert directory.manifest == before
    ensure_layout(directory, FAST, 3)
    assert directory.manifest.moves == before.moves + 1, "hosts that may now be spread belong to other shards"


def test_kill_9_in_the_middle_of_a_move_loses_nothing(directory: CrawlDirectory) -> None:
    ensure_layout(directory, POLITE, 1)
    dice, killed = random.Random(3), 0
    wanted: object = None
    directory.close()
    for shards in (3, 1, 4, 2, 1, 3):
        for _ in range(4):
            mover = subprocess.Popen([sys.executable, "-c", MOVE, str(directory.path), str(shards)])
            while mover.poll() is None and not is_moving(directory.path):
                time.sleep(0.001)
            time.sleep(dice.uniform(0.0, 0.05))
            mover.send_signal(signal.SIGKILL)
            mover.wait()
            killed += is_moving(directory.path)
        again = CrawlDirectory.open(directory.path)
        ensure_layout(again, POLITE, shards)
        found = content(again)
        again.close()
        assert found == (wanted or found)
        wanted = found
    assert killed > 5, "nothing was killed while rows were moving"
