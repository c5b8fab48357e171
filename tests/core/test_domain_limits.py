"""The limits that all hosts of a registered domain share."""

from __future__ import annotations

from crawler.core.messages import Link
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
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


def test_each_shard_has_a_share_of_the_budget_of_a_domain() -> None:
    for shards, pages in ((1, 90), (3, 30), (1000, 1)):
        brakes = DomainLimits(Rules(max_domain_pages=90), shards)
        asked = 0
        while brakes.refuses(host(1), SEED, True) is None:
            brakes.start(host(1), True, True, 0.0)
            asked += 1
        assert asked == pages
        assert brakes.refuses(host(1), SEED, True) == (Reason.DOMAIN_LIMIT, "")


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
