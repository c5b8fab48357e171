"""Limits that are set while a crawl runs, and its pause: their effect on hosts, on fetches, and between shards."""

from __future__ import annotations

from crawler.core.bounds import PLENTY
from crawler.core.hosts.host import Host
from crawler.core.messages import (
    Discovered,
    Fetched,
    HostNote,
    HostNoteShared,
    HostPlacement,
    Link,
    LinksReceived,
    LiveLimits,
    OutboxLink,
    Refill,
    Resumed,
    Stop,
)
from crawler.core.reasons import Ending, Pause
from crawler.core.rules import Rules
from crawler.core.shards.coordinator import ShardCoordinator
from tests.core.test_crawl import A, B, driver
from tests.core.test_sharded import ME, MINE, OTHER, SHARD, THEIRS, Player, url_of


def test_a_delay_comes_on_top_of_what_settings_and_robots_demand_and_is_not_stored() -> None:
    host = Host(A, Rules(delay=1.0))
    host.limit(LiveLimits(delay=5.0))
    assert (host.delay, host.note(0.0).delay) == (5.0, 0.0)
    host.recall(HostNote(A, delay=3.0), 0.0, 0.0)
    assert (host.delay, host.note(0.0).delay) == (5.0, 3.0)
    host.limit(LiveLimits(delay=0.5))
    assert host.delay == 3.0


def test_a_rest_that_has_begun_grows_with_the_delay_and_does_not_shrink_with_it() -> None:
    play = driver(delay=1.0)
    (first,) = play.step(Discovered((f"{A}/", f"{A}/x")))
    assert play.answer(first) == []
    assert play.step(LiveLimits(delay=4.0)) == []
    assert play.step(LiveLimits(), after=3.9) == []
    assert [fetch.url for fetch in play.step(after=0.2)] == [f"{A}/x"]


def test_a_host_that_is_added_later_obeys_the_limits() -> None:
    play = driver(f"{A}/", f"{B}/")
    play.step(LiveLimits(delay=2.0), Discovered((f"{A}/", f"{B}/")))
    first = play.last.fetches[0]
    assert play.answer(first, 200, f"{A}/x") == []
    assert [fetch.url for fetch in play.step(after=2.1)] == [f"{A}/x"]


def test_fetches_in_flight_are_limited_in_all_and_to_one_host() -> None:
    play = driver(f"{A}/", f"{B}/")
    urls = tuple(f"{host}/{n}" for host in (A, B) for n in range(5))
    assert len(play.step(LiveLimits(per_host=2), Discovered(urls))) == 4
    assert len(play.step(LiveLimits(concurrency=5, per_host=3))) == 1
    assert len(play.step(LiveLimits())) == 5


def test_more_connections_than_the_settings_allow_are_not_given() -> None:
    play = driver(per_host=2)
    assert len(play.step(LiveLimits(per_host=9, concurrency=99), Discovered(tuple(f"{A}/{n}" for n in range(5))))) == 2


def test_nothing_starts_in_a_pause_while_what_is_in_flight_ends() -> None:
    play = driver(per_host=1)
    (first,) = play.step(Discovered((f"{A}/", f"{A}/x")))
    assert play.step(LiveLimits(paused=True)) == []
    assert (play.last.pauses, play.last.paused) == ([Pause.USER], True)
    assert play.answer(first) == []
    assert f"{A}/" in play.settled
    play.step(LiveLimits(paused=True, delay=1.0))
    assert play.last.pauses == [], "the pause goes on"
    assert (play.last.wake_at is None or play.last.wake_at > play.now) and play.last.ending is None
    (second,) = play.step(LiveLimits(), after=5.0)
    assert (second.url, play.last.paused) == (f"{A}/x", False)


def test_a_crawl_that_is_paused_can_be_stopped() -> None:
    play = driver()
    assert play.step(LiveLimits(paused=True), Discovered((f"{A}/",))) == []
    play.step(Stop())
    assert play.last.ending is Ending.STOPPED


def test_a_host_that_was_away_before_a_pause_is_not_given_up_because_of_it() -> None:
    host = "http://away.test"
    play = driver(f"{host}/", attempts=9, host_patience=100.0)
    (first,) = play.step(Discovered((f"{host}/",)))
    play.answer(first, 503)
    play.step(LiveLimits(paused=True))
    (again,) = play.step(LiveLimits(), after=1000.0) or play.wait()
    play.answer(again, 503)
    assert f"{host}/" not in play.settled


# ---- shards ----------------------------------------------------------------------------------------------------------


def test_limits_go_to_all_shards_and_to_those_that_start_later() -> None:
    board = ShardCoordinator(2, None, None)
    assert board.limit(LiveLimits(concurrency=8)) == []
    limits = LiveLimits(concurrency=8)
    assert board.verdicts() == [limits]
    board.shard_started(0, 0)
    board.shard_started(1, 0)
    assert board.limit(limits) == [(0, limits), (1, limits)]


def test_hosts_have_one_asker_from_a_delay_on_or_fewer_connections_than_shards() -> None:
    board = ShardCoordinator(2, None, None)
    for limits, reclaim in (
        (LiveLimits(per_host=2), False),
        (LiveLimits(per_host=1), True),
        (LiveLimits(), True),  # once is for ever
    ):
        board.limit(limits)
        (told,) = board.verdicts()
        assert isinstance(told, LiveLimits) and told.reclaim == reclaim, limits
    board = ShardCoordinator(2, None, None)
    board.limit(LiveLimits(delay=1.0))
    board.note(0, HostNote(MINE, reach=HostPlacement.SHARED))
    assert [type(one) for one in board.verdicts()] == [HostNoteShared, LiveLimits]


def test_a_shard_takes_its_share_of_the_fetches_and_at_least_one() -> None:
    player = Player(robots=False)
    urls = tuple(url_of(ME, number=n) for n in range(6))
    fetches = player.step(LiveLimits(concurrency=4), LinksReceived(OTHER, _links(*urls)))
    assert len(fetches) == 2
    assert len(player.step(LiveLimits(concurrency=1))) == 0
    player = Player(robots=False)
    assert len(player.step(LiveLimits(concurrency=1), LinksReceived(OTHER, _links(*urls)))) == 1


def _links(*urls: str) -> tuple[OutboxLink, ...]:
    return tuple(OutboxLink(n, ME, Link(n, url, 1)) for n, url in enumerate(urls))


def test_a_host_that_was_spread_is_asked_by_its_owner_alone_from_then_on() -> None:
    player = Player()
    pages = player.spread()
    reclaim = LiveLimits(delay=1.0, reclaim=True)
    player.step(reclaim)
    (note,) = player.output.notes
    assert (note.host, note.reach) == (MINE, HostPlacement.RECLAIMED)
    assert note in player.actions.notes
    player.now += 2
    player.step(*(Fetched(page.id, 200, (url_of(OTHER),)) for page in pages))
    (foreign,) = player.output.foreign
    assert not foreign.admitted, "its home still decides whether a URL is new"
    player.step(reclaim)
    assert player.output.notes == [], "once"


def test_a_host_of_another_shard_is_given_back_to_its_owner() -> None:
    player = Player()
    player.begin()
    player.step(HostNoteShared(HostNote(THEIRS, robots="", robots_until=1e9, reach=HostPlacement.SHARED)))
    urls = [url_of(ME, THEIRS, n) for n in range(9)]
    player.step(LinksReceived(OTHER, _links(*urls)), LiveLimits(delay=1.0, reclaim=True), room=0)
    assert [one.link.url for one in player.output.foreign if one.admitted] == urls
    assert player.output.notes == []
    assert HostPlacement.RECLAIMED in {note.reach for note in player.actions.notes if note.host == THEIRS}


def test_hosts_without_robots_have_one_asker_as_well() -> None:
    player = Player(robots=False, scope="any")
    player.step(LiveLimits(per_host=1, reclaim=True))
    new = next(name for name in (f"http://n{n}.test" for n in range(99)) if SHARD.owner(name) == ME)
    player.step(LinksReceived(OTHER, _links(url_of(ME, new))), room=PLENTY)
    assert HostNote(new, reach=HostPlacement.RECLAIMED) in player.actions.notes
    player.step(LinksReceived(OTHER, (OutboxLink(7, ME, Link(7, url_of(OTHER, new), 1), admitted=True),)))
    assert player.output.foreign == [], "the owner asks for what other shards are the home of"


def test_a_host_that_left_memory_is_reclaimed_by_its_name() -> None:
    player = Player()
    player.crawl._reaches["http://gone.test"] = HostPlacement.SHARED
    player.step(LiveLimits(delay=1.0, reclaim=True))
    assert HostNote("http://gone.test", reach=HostPlacement.RECLAIMED) in player.actions.notes


def test_no_host_is_spread_once_hosts_have_one_asker() -> None:
    player = Player()
    robots = player.begin()
    player.step(LiveLimits(reclaim=True))
    player.step(Fetched(robots.id, 200, robots_text=""))
    assert player.output.notes == []
    assert player.actions.fetches


def test_links_of_a_host_that_the_frontier_is_asked_for_are_not_passed_on_before_its_answer() -> None:
    player = Player()
    shared = HostNoteShared(HostNote(THEIRS, robots="", robots_until=1e9, reach=HostPlacement.SHARED))
    limits = LiveLimits(delay=1.0, reclaim=True)
    player.step(Resumed(b"", owed=1, seeds_owed=0, next_id=9, fetched=1, size=0), shared, limits)
    assert player.output.foreign == []
    player.step(Refill(THEIRS, (Link(1, url_of(ME, THEIRS), 1),), upto=1, more=False))
    assert [one.link.url for one in player.output.foreign] == [url_of(ME, THEIRS)]
