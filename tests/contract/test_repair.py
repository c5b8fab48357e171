"""What a repair keeps besides pages: the budgets of hosts and their cookies. (Files that are damaged: tests/live.)"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from crawler.core.messages import Budget, Cookie, CookieNote, Link, Settled
from crawler.core.reasons import Reason
from crawler.settings import Settings
from crawler.storage.directory import CrawlDirectory
from crawler.storage.frontier.base import Batch
from crawler.storage.opening import frontier_path
from crawler.storage.repair import repair

HOST = "http://a.test"
COOKIES = CookieNote(HOST, (Cookie("/", "n", "v", 5e9),))


def lost(**kept: Any) -> Batch:
    """The loss of a page record, and the other rows that a shard keeps."""
    settled = Settled(1, f"{HOST}/", Reason.OK, 200, 1, 5, b"d" * 16, part="gone", position=1)
    return Batch(queued=[Link(1, f"{HOST}/", 0)], settled=[settled], **kept)


def rebuilt(path: Path, *shards: Batch, broken: str = "") -> CrawlDirectory:
    """A repaired crawl whose pages were lost. `broken` is an unreadable text in a budget and a cookie jar."""
    directory = CrawlDirectory.create(path / "out", Settings(seeds=(f"{HOST}/",)), demo=False, fresh=False)
    directory.begin_run(directory.settings)
    for number, batch in enumerate(shards):
        with closing(directory.frontier(number)) as frontier:
            frontier.commit(batch, 0.0)
    if broken:
        with closing(sqlite3.connect(frontier_path(directory.path, 0))) as connection, connection:
            connection.execute("INSERT INTO budget (host, pattern, spent) VALUES (?, 9, ?)", (HOST, broken))
            connection.execute("INSERT INTO cookie (home, cookies) VALUES ('http://b.test', ?)", (broken,))
    directory.set_layout(len(shards), "whole")
    done = repair(directory)
    assert (done.rebuilt, done.again, done.owed) == (True, 1, 1)
    return directory


def test_budgets_and_cookies_are_kept(tmp_path: Path) -> None:
    stopped, whole = Budget(HOST, 7, 300, stopped="alike"), Budget(HOST, 0, 900, texts=b"x")
    shard = lost(budgets=[stopped, whole], cookies={HOST: COOKIES})
    with closing(rebuilt(tmp_path, shard)) as directory, closing(directory.frontier()) as frontier:
        assert set(frontier.budgets(HOST)) == {stopped, whole}
        assert list(frontier.cookies()) == [COOKIES]


def test_of_two_budgets_the_larger_counts(tmp_path: Path) -> None:
    shard = lost(budgets=[Budget(HOST, 7, 300), Budget(HOST, 9, 40)])
    other = Batch(budgets=[Budget(HOST, 7, 500), Budget(HOST, 8, 1), Budget(HOST, 9, 30)])
    with closing(rebuilt(tmp_path, shard, other)) as directory, closing(directory.frontier()) as frontier:
        assert set(frontier.budgets(HOST)) == {Budget(HOST, 7, 500), Budget(HOST, 8, 1), Budget(HOST, 9, 40)}


def test_unreadable_budgets_and_cookies_are_left_out(tmp_path: Path) -> None:
    shard = lost(budgets=[Budget(HOST, 7, 300)], cookies={HOST: COOKIES})
    with (
        closing(rebuilt(tmp_path, shard, broken='{"host": 1}')) as directory,
        closing(directory.frontier()) as frontier,
    ):
        assert frontier.budgets(HOST) == (Budget(HOST, 7, 300),)
        assert list(frontier.cookies()) == [COOKIES]


def test_urls_beyond_the_depth_limit_are_kept(tmp_path: Path) -> None:
    shard = lost(beyond=[Link(0, f"{HOST}/deep", 4), Link(0, f"{HOST}/other", 4)])
    other = Batch(queued=[Link(1, f"{HOST}/other", 3)], beyond=[Link(0, f"{HOST}/deep", 3)])
    directory = CrawlDirectory.create(tmp_path / "out", Settings(seeds=(f"{HOST}/",)), demo=False, fresh=False)
    directory.begin_run(directory.settings)
    for number, batch in enumerate((shard, other)):
        with closing(directory.frontier(number)) as frontier:
            frontier.commit(batch, 0.0)
    directory.set_layout(2, "whole")
    assert repair(directory).rebuilt
    with closing(directory), closing(directory.frontier()) as frontier:
        assert [(link.url, link.depth) for link in frontier.beyond()] == [(f"{HOST}/deep", 3)]
        assert (frontier.tally().too_deep, frontier.tally().queued) == (1, 2)
