"""What the arbiter forwards and grants, and when it ends the crawl."""

from __future__ import annotations

import pytest

from crawler.core.messages import (
    Acknowledged,
    DomainQuotaGranted,
    HostNote,
    HostNoteShared,
    HostPlacement,
    QuotaGranted,
    SeedsSettled,
    ShardRestarted,
)
from crawler.core.shards import coordinator
from crawler.core.shards.coordinator import (
    MOST_GRANTED,
    DomainQuotaWanted,
    Outgoing,
    Posted,
    ShardCoordinator,
    Status,
)

NOTE = HostNote("http://a.test", "rules", 50.0, reach=HostPlacement.SHARED)


def begun(pages: int | None = None, size: int | None = None) -> ShardCoordinator:
    board = ShardCoordinator(2, pages, size)
    for shard in (0, 1):
        board.shard_started(shard, 0)
    return board


def test_the_crawl_is_over_when_all_shards_are_idle_and_have_read_all_messages() -> None:
    board = begun()
    assert not board.over, "no shard has reported yet"
    board.update_status(0, Status(0, quiet=True))
    board.update_status(1, Status(0, quiet=True))
    assert board.over
    assert board.route(Posted(1, Acknowledged((1,)))) == (1, Acknowledged((1,)))
    assert not board.over, "one message is unread"
    board.update_status(1, Status(1, quiet=True))
    assert board.over


def test_a_restarted_shard_is_not_idle_and_the_others_send_again() -> None:
    board = begun()
    board.update_status(0, Status(0, quiet=True))
    board.update_status(1, Status(0, quiet=True))
    assert board.shard_started(1, 0) == [(0, ShardRestarted(1))]
    assert not board.over


def test_messages_to_a_shard_before_its_start_are_sent_again() -> None:
    board = ShardCoordinator(2, None, None)
    assert board.shard_started(0, 0) == []
    board.route(Posted(1, Acknowledged((1,))))
    assert board.shard_started(1, 0) == [(0, ShardRestarted(1))]


def test_verdicts_reach_all_other_shards_and_those_started_later() -> None:
    board = begun()
    assert board.note(0, NOTE) == [(1, HostNoteShared(NOTE))]
    gathered = HostNote("http://a.test", rest_until=9.0, reach=HostPlacement.RECLAIMED)
    board.note(1, gathered)
    board.note(0, HostNote("http://a.test", rest_until=5.0, reach=HostPlacement.SHARED, joined=True))
    (verdict,) = board.verdicts()
    assert verdict == HostNoteShared(HostNote("http://a.test", "rules", 50.0, 0.0, 9.0, True, HostPlacement.RECLAIMED))


def test_notes_of_earlier_runs_become_verdicts() -> None:
    board = ShardCoordinator(2, None, None, (NOTE, HostNote("http://a.test", joined=True)))
    assert board.verdicts() == [
        HostNoteShared(HostNote("http://a.test", "rules", 50.0, joined=True, reach=HostPlacement.SHARED))
    ]


def test_seeds_are_settled_when_all_shards_report_it_and_that_is_announced_once() -> None:
    board = begun()
    assert board.update_status(0, Status(0, seeds_settled=True)) == []
    assert board.update_status(1, Status(0, seeds_settled=True)) == [(0, SeedsSettled()), (1, SeedsSettled())]
    assert board.update_status(1, Status(1, seeds_settled=True)) == []
    assert board.verdicts() == [SeedsSettled()]


def granted(outgoing: list[Outgoing]) -> list[tuple[int, int]]:
    return [(to, event.pages) for to, event in outgoing if isinstance(event, QuotaGranted)]


def test_pages_are_granted_in_blocks_that_shrink_and_never_more_than_there_are() -> None:
    board = begun(pages=1000)
    blocks = []
    while blocks_now := granted(board.update_status(0, Status(0, wants=True))):
        blocks += [pages for _, pages in blocks_now]
    assert (blocks[0], blocks[-1], sum(blocks)) == (MOST_GRANTED, 1, 1000)
    assert blocks == sorted(blocks, reverse=True)


def test_pages_of_a_domain_are_granted_in_blocks_that_shrink_and_never_more_than_there_are() -> None:
    board = ShardCoordinator(2, None, None, per_domain=2000, domains={"h.test": 500})
    blocks: list[int] = []
    while not blocks or blocks[-1]:
        ((to, event),) = board.grant_domain(1, DomainQuotaWanted("h.test"))
        assert to == 1 and isinstance(event, DomainQuotaGranted)
        blocks.append(event.pages)
        assert event.total == 500 + sum(blocks)
    assert (blocks[0], blocks[-2], sum(blocks)) == (MOST_GRANTED, 1, 1500)
    ((_, event),) = board.grant_domain(0, DomainQuotaWanted("other.test"))
    assert isinstance(event, DomainQuotaGranted) and event.pages == MOST_GRANTED


def test_a_bounded_number_of_domains_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "MOST_DOMAINS", 10)
    board = ShardCoordinator(2, None, None, per_domain=40, domains={"large.test": 39})
    for number in range(100):
        board.grant_domain(0, DomainQuotaWanted(f"{number}.test"))
    ((_, event),) = board.grant_domain(0, DomainQuotaWanted("large.test"))
    assert event == DomainQuotaGranted("large.test", 1, 40), "the largest are kept"
    assert len(board._domains) <= 10


def test_returned_pages_are_granted_to_a_waiting_shard() -> None:
    board = begun(pages=1)
    assert granted(board.update_status(0, Status(0, wants=True))) == [(0, 1)]
    assert granted(board.update_status(1, Status(0, wants=True))) == []
    assert granted(board.update_status(0, Status(1, quiet=True, returned=1))) == [(1, 1)]


def test_a_dead_shard_has_used_the_pages_in_its_frontier() -> None:
    board = begun(pages=4)
    assert granted(board.update_status(0, Status(0, wants=True))) == [(0, 1)]
    assert granted(board.update_status(0, Status(1, wants=True))) == [(0, 1)]
    board.shard_started(0, 1)
    left = 0
    while blocks := granted(board.update_status(1, Status(0, wants=True))):
        left += sum(pages for _, pages in blocks)
    assert left == 3


def test_the_crawl_ends_at_the_limit_of_stored_bytes() -> None:
    board = begun(size=100)
    board.update_status(0, Status(0, size=60))
    assert not board.over
    board.update_status(1, Status(0, size=40))
    assert board.over
