"""How one of two shards handles links and hosts that it does not own. Whole crawls are in tests/sim."""

from __future__ import annotations

import pytest

from crawler.core.crawl import Crawl
from crawler.core.messages import (
    Acknowledged,
    Discovered,
    DomainQuotaGranted,
    Event,
    Fetch,
    Fetched,
    HostNote,
    HostNoteShared,
    HostPlacement,
    Link,
    LinksReceived,
    OutboxLink,
    QuotaGranted,
    Refill,
    Resumed,
    SeedsSettled,
    ShardOutput,
    ShardRestarted,
    Stop,
)
from crawler.core.reasons import Ending, Reason
from crawler.core.rules import Rules
from crawler.core.shards.shard import Shard
from crawler.core.shards.sharded import ShardedCrawl
from crawler.core.traps.domain_limits import PAUSE
from crawler.core.urls.depth import MOST_HOSTS, DepthLimit
from crawler.core.urls.scope import Scope

ME, OTHER = 0, 1
SHARD = Shard(ME, 2)
MINE, THEIRS = (
    next(name for name in (f"http://h{n}.test" for n in range(99)) if SHARD.owner(name) == who) for who in (ME, OTHER)
)


def url_of(who: int, host: str = MINE, number: int = 0) -> str:
    """A URL that is assigned to a shard once its host is spread."""
    return [url for url in (f"{host}/{n}" for n in range(999)) if SHARD.owner(url) == who][number]


class Player:
    """Steps one shard by hand."""

    def __init__(self, **rules: object) -> None:
        self.rules = Rules(**({"delay": 0.0, "per_host": 4, "robots": True} | rules))  # type: ignore[arg-type]
        self.crawl = ShardedCrawl(self.rules, Scope(self.rules, (f"{MINE}/", f"{THEIRS}/")), 7, SHARD)
        self.now = 100.0

    def step(self, *events: Event, room: int = 10) -> list[Fetch]:
        """One step. If it asks for pages of domains, they are granted, and what waited for them goes out."""
        self.actions = self.crawl.step(events, room=room, now=self.now)
        wanted = self.output.domains
        if wanted:
            self.now += PAUSE
            grants = [DomainQuotaGranted(domain, 50, 50) for domain in wanted]
            granted = self.crawl.step(grants, room=room - len(self.actions.fetches), now=self.now)
            self.actions.fetches += granted.fetches
        return self.actions.fetches

    @property
    def output(self) -> ShardOutput:
        assert self.actions.output is not None
        return self.actions.output

    def begin(self) -> Fetch:
        """The seed of this shard is admitted and its robots.txt is being fetched."""
        (robots,) = self.step(Discovered((f"{MINE}/", f"{THEIRS}/")))
        return robots

    def spread(self) -> list[Fetch]:
        """The host of this shard turns out to need no delay."""
        return self.step(Fetched(self.begin().id, 200, robots_text=""))


def test_seeds_of_other_shards_are_ignored() -> None:
    player = Player()
    assert player.begin().url == f"{MINE}/robots.txt"
    assert [link.url for link in player.actions.queued] == [f"{MINE}/"]
    assert player.output.foreign == []


def test_a_link_to_another_shard_is_sent_once_and_the_shard_is_idle_only_after_its_acknowledgement() -> None:
    player = Player(per_host=1)
    (page,) = player.spread()
    player.step(Fetched(page.id, 200, (f"{THEIRS}/x",)))
    (foreign,) = player.output.foreign
    assert (foreign.to, foreign.link.url, foreign.admitted) == (OTHER, f"{THEIRS}/x", False)
    assert not player.output.quiet
    player.step(LinksReceived(OTHER, (OutboxLink(1, ME, Link(5, f"{MINE}/y", 1)),)))
    assert player.output.received == [(OTHER, 1)]
    (again,) = player.actions.fetches
    player.step(Fetched(again.id, 200, (f"{THEIRS}/x",)))
    assert player.output.foreign == []
    player.step(Acknowledged((foreign.seq,)))
    assert (player.output.acknowledged, player.output.quiet) == ([foreign.seq], True)
    assert player.actions.ending is None, "a shard does not end by itself"
    player.step(Stop())
    assert player.actions.ending is Ending.COMPLETE


def test_a_host_without_a_delay_is_spread_and_its_links_are_sent_to_their_shards() -> None:
    player = Player()
    robots = player.begin()
    links = tuple(OutboxLink(n, ME, Link(n, url_of(n % 2, number=n), 1)) for n in range(4))
    player.step(LinksReceived(OTHER, links))
    player.step(Fetched(robots.id, 200, robots_text="User-agent: *\nDisallow: /no"))
    (note,) = player.output.notes
    assert (note.host, note.reach, note.robots) == (MINE, HostPlacement.SHARED, "User-agent: *\nDisallow: /no")
    assert {foreign.link.url for foreign in player.output.foreign} >= {url_of(OTHER, number=1), url_of(OTHER, number=3)}
    assert all(foreign.admitted and SHARD.owner(foreign.link.url) == OTHER for foreign in player.output.foreign)
    assert len(player.output.transferred) == len(player.output.foreign)
    assert len(player.actions.fetches) == 2, "this shard has two of the four connections"


@pytest.mark.parametrize(("rules", "text"), [({"per_host": 1}, ""), ({"delay": 1.0}, ""), ({}, "Crawl-delay: 2")])
def test_a_host_with_a_delay_or_too_few_connections_stays_with_its_owner(rules: dict[str, object], text: str) -> None:
    player = Player(**rules)
    player.step(Fetched(player.begin().id, 200, robots_text=f"User-agent: *\n{text}"))
    assert player.output.notes == []
    assert [note.reach for note in player.actions.notes] == [HostPlacement.OWNER]


def test_a_spread_host_has_a_share_of_its_budget_on_each_shard_until_it_is_gathered() -> None:
    player = Player(max_host_pages=4)
    (root,) = player.spread()
    links = [url_of(ME, number=number) for number in range(6)]
    fetches = player.step(Fetched(root.id, 200, tuple(links)))
    assert len(fetches) == 1
    assert [end.reason for end in player.actions.settled] == [Reason.OK, *[Reason.HOST_LIMIT] * 5]
    player.step(HostNoteShared(HostNote(MINE, rest_until=player.now, reach=HostPlacement.RECLAIMED)))
    player.step(Fetched(fetches[0].id, 200))
    more = tuple(OutboxLink(n, ME, Link(n, f"{MINE}/more{n}", 1), admitted=True) for n in range(4))
    asked = player.step(LinksReceived(OTHER, more))
    assert asked == [], "two pages were fetched here, so about four on all shards"
    assert [end.reason for end in player.actions.settled] == [Reason.HOST_LIMIT] * 4


def test_a_host_that_was_fetched_from_before_is_not_spread() -> None:
    player = Player()
    player.step(Resumed(b"", 0, 0, 1, 0, 0), Discovered((f"{MINE}/",)))
    assert [one.host for one in player.actions.refill_requests] == [MINE]
    (robots,) = player.step(Refill(MINE, (Link(1, f"{MINE}/", 0),), 1, False, HostNote(MINE)))
    player.step(Fetched(robots.id, 200, robots_text=""))
    assert player.output.notes == []


@pytest.mark.parametrize(
    "answer", [{"status": 429}, {"status": 503, "retry_after": 5.0}, {"status": 429, "retry_after": 5.0}]
)
def test_a_host_that_asks_for_a_delay_is_gathered_and_its_owed_links_go_to_the_owner(answer: dict[str, float]) -> None:
    player = Player()
    note = HostNote(THEIRS, "", 1e9, reach=HostPlacement.SHARED)
    player.step(HostNoteShared(note))
    mine = [url_of(ME, THEIRS, n) for n in range(4)]
    fetches = player.step(LinksReceived(OTHER, tuple(OutboxLink(n, ME, Link(n, url, 1)) for n, url in enumerate(mine))))
    assert [fetch.url for fetch in fetches] == mine[:2]
    player.step(Fetched(fetches[0].id, **answer))  # type: ignore[arg-type]
    (note,) = player.output.notes
    assert (note.host, note.reach) == (THEIRS, HostPlacement.RECLAIMED)
    rest = note.rest_until - player.now
    assert rest == answer["retry_after"] if "retry_after" in answer else 2.5 <= rest <= 5.0
    assert {(one.link.url, one.to, one.admitted) for one in player.output.foreign} == {
        (mine[0], OTHER, True),
        (mine[2], OTHER, True),
        (mine[3], OTHER, True),
    }
    player.step(Fetched(fetches[1].id, 503, retry_after=50.0))
    (later,) = player.output.notes
    assert later.rest_until == player.now + 50.0, "the owner is also note of a longer delay"
    new = url_of(ME, THEIRS, 5)
    player.step(LinksReceived(OTHER, (OutboxLink(9, ME, Link(9, new, 1)),)))
    assert [(one.link.url, one.admitted) for one in player.output.foreign] == [(new, True)], (
        "the owner decides which links are new"
    )
    assert player.actions.fetches == []
    player.step(LinksReceived(OTHER, (OutboxLink(10, ME, Link(10, new, 1)),)))
    assert player.output.foreign == []


def test_a_link_that_was_forwarded_is_not_forwarded_again() -> None:
    player = Player()
    player.step(HostNoteShared(HostNote(THEIRS, "", 1e9, reach=HostPlacement.SHARED)))
    foreign = OutboxLink(1, ME, Link(7, url_of(ME, THEIRS), 1), admitted=True)
    player.step(LinksReceived(OTHER, (foreign,)), room=0)
    player.step(HostNoteShared(HostNote(THEIRS, rest_until=player.now + 5, reach=HostPlacement.RECLAIMED)))
    assert [one.link.url for one in player.output.foreign] == [foreign.link.url]
    player.step(LinksReceived(OTHER, (foreign,)))
    assert (player.output.received, player.output.foreign, player.actions.queued) == ([(OTHER, 1)], [], [])


def test_the_owner_of_a_gathered_host_fetches_forwarded_links_after_the_delay() -> None:
    player = Player()
    fetches = player.spread()
    for fetch in fetches:
        player.step(Fetched(fetch.id, 200))
    player.step(HostNoteShared(HostNote(MINE, rest_until=player.now + 5, reach=HostPlacement.RECLAIMED)))
    link = Link(3, url_of(OTHER), 1, attempts=1, status=503)
    player.step(LinksReceived(OTHER, (OutboxLink(1, ME, link, admitted=True),)))
    assert [(one.url, one.attempts) for one in player.actions.queued] == [(link.url, 1)]
    assert player.actions.fetches == []
    player.step(LinksReceived(OTHER, (OutboxLink(1, ME, link, admitted=True),)))
    assert (player.actions.queued, player.output.received) == ([], [(OTHER, 1)]), "a link that arrives twice is known"
    player.now += 5
    (again,) = player.step()
    assert (again.url, again.attempt) == (link.url, 2)


def test_a_host_with_a_hold_beyond_max_hold_on_another_shard_is_given_up_by_its_owner() -> None:
    player = Player(max_hold=10.0)
    player.begin()
    player.step(HostNoteShared(HostNote(MINE, rest_until=player.now + 60, reach=HostPlacement.RECLAIMED)))
    assert [end.reason for end in player.actions.settled] == [Reason.HELD]


def test_links_to_be_forwarded_wait_in_the_frontier_like_any_link() -> None:
    player = Player()
    player.step(Resumed(b"", 0, 0, 1, 0, 0), HostNoteShared(HostNote(THEIRS, "", 1e9, reach=HostPlacement.RECLAIMED)))
    player.step(Refill(THEIRS, (), 0, more=True))
    assert [one.host for one in player.actions.refill_requests] == [THEIRS], "the frontier has more of it"
    player.step(LinksReceived(OTHER, (OutboxLink(1, ME, Link(1, url_of(ME, THEIRS), 1)),)))
    (link,) = player.actions.queued
    assert player.output.foreign == []
    player.step(Refill(THEIRS, (link,), link.id, more=False))
    assert [(one.link, one.admitted) for one in player.output.foreign] == [(link, True)]


def test_a_host_still_being_loaded_from_the_frontier_is_given_up_once_and_not_before() -> None:
    player = Player(max_hold=10.0)
    player.step(Resumed(b"", 0, 0, 1, 0, 0), HostNoteShared(HostNote(THEIRS, "", 1e9, reach=HostPlacement.SHARED)))
    tried = Link(1, url_of(ME, THEIRS), 1, attempts=1, status=503)
    player.step(LinksReceived(OTHER, (OutboxLink(1, ME, tried, admitted=True),)))
    (link,) = player.actions.queued
    player.step(HostNoteShared(HostNote(THEIRS, rest_until=player.now + 60, reach=HostPlacement.RECLAIMED)))
    assert player.actions.settled == []
    player.step(Refill(THEIRS, (link,), link.id, more=False))
    assert [(end.id, end.reason) for end in player.actions.settled] == [(link.id, Reason.HELD)]
    assert player.crawl.owed == 0


def test_without_robots_hosts_are_spread_from_the_start() -> None:
    player = Player(robots=False)
    seed = player.step(Discovered((f"{MINE}/", f"{THEIRS}/")))
    assert all(SHARD.owner(fetch.url) == ME for fetch in seed)
    player.step(LinksReceived(OTHER, (OutboxLink(1, ME, Link(1, url_of(ME, THEIRS), 1)),)))
    assert [fetch.url for fetch in player.actions.fetches] == [url_of(ME, THEIRS)]


def test_pages_are_fetched_within_grants_and_unused_grants_are_returned() -> None:
    player = Player(max_pages=100, per_host=1)
    assert player.step(Discovered((f"{MINE}/",))) == []
    assert player.output.wants
    (robots,) = player.step(QuotaGranted(5))
    (page,) = player.step(Fetched(robots.id, 404))
    player.step(Fetched(page.id, 200))
    assert (player.output.quiet, player.output.returned, player.output.wants) == (True, 4, False)
    player.step()
    assert player.output.returned == 0


def test_grants_are_used_for_pages_that_were_never_fetched() -> None:
    player = Player(max_pages=100, per_host=1, robots=False)  # robots.txt is not a page
    tried = Link(1, f"{MINE}/a", 1, attempts=1, status=503)
    player.step(Resumed(b"", 2, 0, 3, 8, 0, retried=(MINE,)))
    fetches = player.step(Refill(MINE, (tried, Link(2, f"{MINE}/b", 1)), 2, False))
    assert [fetch.url for fetch in fetches] == [f"{MINE}/a"]
    assert player.output.wants


def test_unacknowledged_links_are_sent_again_after_a_kill() -> None:
    player = Player()
    foreign = OutboxLink(4, OTHER, Link(9, f"{THEIRS}/x", 0, (f"{MINE}/",)))
    player.step(Resumed(b"", 0, 0, 1, 0, 0, outbox=(foreign,)))
    assert player.output.foreign == [foreign]
    assert not player.output.seeds_settled, "the redirect target of a seed is not acknowledged yet"
    player.step(Acknowledged((4, 99)))
    assert player.output.seeds_settled


def test_links_to_a_restarted_shard_are_sent_again_until_acknowledged() -> None:
    player = Player(per_host=1)
    (page,) = player.spread()
    player.step(Fetched(page.id, 200, (f"{THEIRS}/x",)))
    (foreign,) = player.output.foreign
    player.step(ShardRestarted(ME))
    assert player.output.foreign == []
    player.step(ShardRestarted(OTHER))
    assert (player.output.foreign, player.crawl.owed) == ([foreign], 1)
    player.step(Acknowledged((foreign.seq,)), ShardRestarted(OTHER))
    assert (player.output.foreign, player.crawl.owed) == ([], 0)


def test_links_that_waited_for_a_host_are_admitted_when_it_joins_on_another_shard() -> None:
    player = Player(per_host=1)
    (page,) = player.spread()
    stranger = next(name for name in (f"http://s{n}.test" for n in range(99)) if SHARD.owner(name) == ME)
    player.step(Fetched(page.id, 200, (f"{stranger}/x",)))
    assert player.output.seeds_settled
    player.step(HostNoteShared(HostNote(stranger, joined=True)))
    assert [link.url for link in player.actions.queued] == [f"{stranger}/x"]


def test_links_out_of_scope_are_dropped_when_no_shard_owes_a_seed() -> None:
    player = Player(per_host=1)
    (page,) = player.spread()
    player.step(Fetched(page.id, 200, ("http://stranger.test/x",)))
    player.step(SeedsSettled())
    player.step(HostNoteShared(HostNote("http://stranger.test", joined=True)))
    assert player.actions.queued == [] and player.output.foreign == []


def test_links_out_of_scope_wait_while_this_shard_owes_a_seed() -> None:
    player = Player(per_host=1)
    player.begin()
    stranger = next(name for name in (f"http://s{n}.test" for n in range(99)) if SHARD.owner(name) == ME)
    player.step(LinksReceived(OTHER, (OutboxLink(1, ME, Link(1, f"{stranger}/x", 1)),)), SeedsSettled())
    assert player.crawl.owed == 1
    player.step(HostNoteShared(HostNote(stranger, joined=True)))
    assert player.crawl.owed == 2


def test_the_host_that_a_seed_redirects_to_is_announced_to_all_shards() -> None:
    player = Player(per_host=1)
    (page,) = player.spread()
    player.step(Fetched(page.id, 301, location="http://www.test/"))
    assert player.output.notes == [HostNote("http://www.test", joined=True)]


def test_a_crawl_with_one_shard_ignores_messages_of_others() -> None:
    crawl = Crawl(Rules(), Scope(Rules(), (f"{MINE}/",)), 7)
    with pytest.raises(TypeError, match="one shard"):
        crawl.step([SeedsSettled()], room=1, now=0.0)


# ---- beyond the depth limit ------------------------------------------------------------------------------------------


def deep(url: str, seq: int = 1, **facts: bool) -> LinksReceived:
    return LinksReceived(OTHER, (OutboxLink(seq, ME, Link(seq, url, 3), **facts),))


def test_a_url_beyond_the_depth_limit_is_sent_to_its_shard_once_and_again_on_a_shorter_path() -> None:
    player = Player(per_host=1, max_depth=1)
    (page,) = player.spread()
    more = player.step(
        LinksReceived(OTHER, (OutboxLink(1, ME, Link(1, f"{MINE}/a", 1)), OutboxLink(2, ME, Link(2, f"{MINE}/b", 1))))
    )
    player.step(Fetched(page.id, 200))
    (a,) = more or player.actions.fetches
    player.step(Fetched(a.id, 200, (f"{THEIRS}/x", f"{THEIRS}/x")))
    assert [(one.to, one.link.url, one.link.depth) for one in player.output.foreign] == [(OTHER, f"{THEIRS}/x", 2)]
    (b,) = player.actions.fetches
    player.step(Fetched(b.id, 200, (f"{THEIRS}/x",)))
    assert (player.output.foreign, player.actions.beyond) == ([], [])
    player.crawl._admit(f"{THEIRS}/x", 1, (), player.now)
    assert [one.link.depth for one in player.output.foreign] == [1]
    player.crawl._admit(f"{THEIRS}/x", 2, (), player.now)
    assert len(player.output.foreign) == 1, "a shorter path is already known"


def test_a_host_with_urls_beyond_the_depth_limit_is_not_spread() -> None:
    player = Player(max_depth=2)
    robots = player.begin()
    player.step(deep(f"{MINE}/deep"))
    assert [link.url for link in player.actions.beyond] == [f"{MINE}/deep"]
    player.step(Fetched(robots.id, 200, robots_text=""))
    assert player.output.notes == []
    again = Player(max_depth=2)
    again.step(Resumed(b"", 0, 0, 1, 0, 0, beyond=(MINE,)))
    again.step(Discovered((f"{MINE}/",)))
    (asked,) = again.step(Refill(MINE, tuple(again.actions.queued), 1, False))
    again.step(Fetched(asked.id, 200, robots_text=""))
    assert again.output.notes == []


def test_the_owner_of_a_gathered_host_keeps_its_urls_beyond_the_depth_limit() -> None:
    player = Player(max_depth=2)
    player.step(HostNoteShared(HostNote(THEIRS, "", 1e9, reach=HostPlacement.RECLAIMED)))
    url = url_of(ME, THEIRS)
    player.step(deep(url))
    (sent,) = player.output.foreign
    assert (sent.to, sent.link.url, sent.beyond, player.output.handed) == (OTHER, url, True, [url])
    player.step(deep(url, 2))
    assert player.output.foreign == []
    player.step(deep(f"{MINE}/x", 3, beyond=True), deep(f"{MINE}/", 4, beyond=True))
    assert [link.url for link in player.actions.beyond] == [f"{MINE}/x", f"{MINE}/"]
    player.step(Discovered((f"{MINE}/",)))
    player.step(LinksReceived(OTHER, (OutboxLink(5, ME, Link(5, f"{MINE}/", 4), beyond=True),)))
    assert player.actions.beyond == [], "it was admitted"


def test_links_in_transit_beyond_a_raised_depth_limit_are_admitted() -> None:
    player = Player(max_depth=3)
    player.step(deep(f"{MINE}/x", beyond=True))
    assert [link.url for link in player.actions.queued] == [f"{MINE}/x"]
    smaller = Player(max_depth=2)
    foreign = OutboxLink(4, OTHER, Link(9, f"{THEIRS}/x", 3))
    smaller.step(Resumed(b"", 0, 0, 1, 0, 0, outbox=(foreign,)))
    smaller.crawl._admit(f"{THEIRS}/x", 1, (), smaller.now)
    assert [one.link.depth for one in smaller.output.foreign] == [3, 1]


def test_a_bounded_number_of_hosts_with_urls_beyond_the_depth_limit_is_remembered() -> None:
    limit = DepthLimit(1, 7)
    limit.remember(f"http://h{n}.test" for n in range(MOST_HOSTS - 1))
    assert (limit.may_have("http://h5.test"), limit.may_have("http://other.test")) == (True, False)
    limit.remember(("http://last.test", "http://lost.test"))
    assert limit.may_have("http://lost.test"), "beyond that number a host is assumed to have some"
