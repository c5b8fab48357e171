"""The limits that all hosts of a registered domain share."""

from __future__ import annotations

from crawler.core.messages import DomainQuotaGranted, Link
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.shards.coordinator import DomainQuotaWanted, ShardCoordinator
from crawler.core.traps.domain_limits import AT_ONCE, DOMAINS, FREE, HOME, REMEMBERED, TRIAL, DomainLimits

LINK, SEED = Link(1, "http://x.h.test/", 1), Link(1, "http://x.h.test/", 0)
WIDE = Rules(scope="domain")


def host(n: int) -> str:
    return f"http://w{n}.h.test"


def play(brakes: DomainLimits, hosts: int, content: int | None, names: bool = True, start: int = 0) -> int:
    """Fetch one page from each new host; returns how many were fetched."""
    asked = 0
    for n in range(start, start + hosts):
        if brakes.refuses(host(n), LINK, False) is None:
            assert brakes.pause(host(n), False, 0.0) == 0.0
            brakes.start(host(n), False, True, 0.0)
            brakes.land(host(n), n if content is None else content, names)
            asked += 1
    return asked


def test_endless_host_names_with_the_same_page_are_stopped() -> None:
    brakes = DomainLimits(WIDE)
    assert FREE + 60 <= play(brakes, 2000, 7) <= FREE + 70, "only samples are fetched"
    refusal = brakes.refuses(host(9999), LINK, False)
    assert refusal is not None
    assert refusal[0] is Reason.REPEATED_PAGES
    assert "of 60 pages" in refusal[1]
    assert brakes.refuses(host(9999), SEED, False) is None
    assert brakes.refuses(host(3), LINK, True) is None, "a host that was fetched from continues"


def test_hosts_that_differ_or_are_already_known_are_not_stopped() -> None:
    assert play(DomainLimits(WIDE), 2000, None) == 2000
    assert play(DomainLimits(WIDE), 2000, 7, names=False) == 2000
    assert play(DomainLimits(Rules()), 2000, 7) == 2000, "the hosts of this scope are fixed"


def test_new_hosts_are_tried_a_few_at_a_time() -> None:
    brakes = DomainLimits(WIDE)
    play(brakes, FREE, None)
    for n in range(100, 100 + AT_ONCE):
        assert brakes.pause(host(n), False, 5.0) == 0.0
        brakes.start(host(n), False, False, 5.0)
    assert 0 < brakes.pause(host(200), False, 5.0) < brakes.pause(host(201), False, 5.0)
    assert brakes.pause(host(100), False, 5.0) == 0.0, "it is on trial already"
    assert brakes.pause(host(1), True, 5.0) == 0.0
    brakes.land(host(100), None, False)
    assert brakes.pause(host(200), False, 5.0) == 0.0, "one has answered"
    brakes.start(host(200), False, False, 6.0)
    assert brakes.pause(host(201), False, 5.0 + TRIAL - 0.1) > 0.0
    assert brakes.pause(host(201), False, 5.0 + TRIAL) == 0.0, "hosts that never answer do not block the others"


class Shards:
    """The limits of all shards, and the coordinator that grants them pages."""

    def __init__(self, rules: Rules, shards: int, before: dict[str, int] | None = None) -> None:
        self.limits = [DomainLimits(rules, shards) for _ in range(shards)]
        self.coordinator = ShardCoordinator(shards, None, None, per_domain=rules.max_domain_pages, domains=before)

    def ask(self, shard: int, name: str, most: int, alone: bool = False) -> int:
        """Ask a host for up to so many pages, one after the other. Returns how many were asked for."""
        mine = self.limits[shard]
        asked = 0
        while asked < most and mine.refuses(name, SEED, True, alone) is None:
            if mine.pause_for_grant(name, alone) == 0.0:
                mine.start(name, True, True, 0.0, alone)
                asked += 1
            for domain in mine.drain_wanted():
                for to, event in self.coordinator.grant_domain(shard, DomainQuotaWanted(domain)):
                    assert to == shard and isinstance(event, DomainQuotaGranted)
                    mine.grant(event)
        return asked


def test_a_host_that_one_shard_alone_asks_has_the_whole_budget_there() -> None:
    for shards in (1, 3, 1000):
        crawl = Shards(Rules(max_domain_pages=90), shards)
        assert crawl.ask(0, host(1), 500, alone=True) == 90
        assert crawl.limits[0].refuses(host(1), SEED, True) == (Reason.DOMAIN_LIMIT, "")
        assert crawl.ask(0, host(2), 500, alone=True) == 90, "each host counts for itself"


def test_the_shards_of_a_domain_ask_for_no_more_than_its_budget_together() -> None:
    for shards in (2, 3, 64):
        crawl = Shards(Rules(scope="domain", max_domain_pages=900), shards)
        asked = 0
        while got := sum(crawl.ask(shard, host(shard), 7) for shard in range(shards)):
            asked += got
        assert asked == 900, "all of it, where all have URLs to the end"
        assert crawl.limits[1].refuses(host(1), SEED, True, False) == (Reason.DOMAIN_LIMIT, "")


def test_shards_that_run_out_of_urls_leave_most_of_the_budget_to_the_others() -> None:
    crawl = Shards(Rules(scope="domain", max_domain_pages=900), 4)
    asked = sum(crawl.ask(shard, host(shard), 1) for shard in (0, 1, 2)) + crawl.ask(3, host(3), 9000)
    assert 0.85 * 900 < asked < 900
    assert Shards(Rules(scope="domain", max_domain_pages=900), 4).ask(3, host(3), 9000) == 900


def test_a_spread_host_has_one_budget_on_all_shards() -> None:
    crawl = Shards(Rules(max_domain_pages=90), 2)
    asked = 0
    while got := crawl.ask(0, host(1), 3) + crawl.ask(1, host(1), 3):
        asked += got
    assert asked == 90


def test_what_earlier_runs_asked_for_counts_whatever_their_number_of_shards() -> None:
    first = Shards(Rules(scope="domain", max_domain_pages=900), 2)
    before = first.ask(0, host(1), 300) + first.ask(1, host(2), 200)
    noted = [budget for one in first.limits for budget in (*one.drain(False), *one.drain(True))]
    told = max(budget.pages for budget in noted)
    assert before <= told <= before + 64 * 2, "what was granted counts as asked for"
    again = Shards(Rules(scope="domain", max_domain_pages=900), 3, {"h.test": told})
    asked = 0
    while got := sum(again.ask(shard, host(shard), 7) for shard in range(3)):
        asked += got
    assert asked == 900 - told
    alone = DomainLimits(Rules(scope="domain", max_domain_pages=900))
    alone.recall(tuple(noted))
    assert alone.refuses(host(1), SEED, True) is None


def test_what_was_learned_survives_a_restart() -> None:
    brakes = DomainLimits(WIDE)
    play(brakes, 2000, 7)
    noted = [*brakes.drain(False), *brakes.drain(True)]
    assert {budget.host for budget in noted} == {HOME}
    assert list(brakes.drain(True)) == []
    again = DomainLimits(WIDE)
    again.recall(tuple(noted))
    assert play(again, 500, 7, start=3000) <= 2


def test_memory_is_bounded() -> None:
    brakes = DomainLimits(WIDE)
    for n in range(2 * DOMAINS):
        brakes.start(f"http://d{n}.test", True, True, 0.0)
    assert len(brakes._domains) <= DOMAINS
    play(brakes, REMEMBERED + 100, None)
    assert len(brakes._of(host(1)).known) == REMEMBERED
