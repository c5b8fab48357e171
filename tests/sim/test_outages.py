"""The network is down for a minute in the middle of a crawl: the crawl pauses, continues by itself, and no URL loses an
attempt."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from crawler.core.hosts.health import NEVER_ANSWERED
from crawler.core.messages import Fetched
from crawler.core.network.outage import PROBE_PERIOD
from crawler.core.reasons import Ending, Reason
from tests.sim.sharded import ShardedSimulation
from tests.sim.simulation import STRANGER, Simulation

LENGTH = 60.0


def calm(web: Simulation, hosts: int, attempts: int, away_after: float) -> None:
    """Turn a random web into one without failures except one outage.

    A shard restarted before its first answer knows no host that has answered: it gives up those that are
    unreachable for NEVER_ANSWERED seconds.
    """
    dice = random.Random(web.seed)
    web.rules = replace(
        web.rules,
        delay=dice.choice([0.0, 0.5, 1.0]),
        attempts=attempts,
        host_patience=600.0,
        max_pages=None,
        max_bytes=None,
        max_depth=None,
        outage_wait=300.0,
    )
    web.bounds = replace(web.bounds, hosts=20_000)  # with a single host in memory there would be no outage
    web.silence = 0.0
    names = [f"http://h{n}.test" for n in range(hosts)]
    web.hosts = {name: web._make_host(name) for name in [*names, STRANGER]}
    for host in web.hosts.values():
        host.robots, host.delay, host.slow_name = [(404, "")], 0.0, False
        urls = [f"{host.name}/{n}" for n in range(40)]
        host.pages = {f"/{n}": [Fetched(0, 200, tuple(urls), size=10, part="p", position=1)] for n in range(40)}
    web.watched = {name: type(next(iter(web.watched.values())))() for name in web.hosts}
    web.seeds = tuple(f"{name}/0" for name in names)
    web.away = (web.now + away_after, web.now + away_after + LENGTH)


@pytest.mark.parametrize("hosts", [1, 2, 5, 30])
def test_an_outage_uses_no_attempt_and_the_crawl_continues_by_itself(hosts: int) -> None:
    for seed in range(20 if hosts < 10 else 4):
        one = Simulation(seed)
        calm(one, hosts, attempts=2, away_after=one.dice.uniform(12, 20))
        one.run()
        assert one.endings[-1] is Ending.COMPLETE
        if one.first_answer_at >= one.away[0]:
            continue  # stopped before its first answer, so no host is known to have answered
        rows = list(one.frontier.settled())
        assert {row.reason for row in rows} == {Reason.OK}, seed
        assert len(rows) == hosts * 40
        # a fetch on an open connection has used an attempt, at most one each
        assert one.frontier.tally().retries <= one.room_most
        if one.back_at:
            gap = (
                LENGTH / 2 + one.rules.breaker_rest if hosts == 1 else PROBE_PERIOD
            )  # a single host is unreachable, see health.py
            assert one.back_at <= one.away[1] + gap + 10.0 * one.resumes + 5.0, (
                "the crawl does not continue soon after the outage"
            )
        if one.resumes == 0 and one.spoiled:
            # fetches in flight at the start of the outage, three per host until it is detected, and a probe every 5 s
            assert one.spoiled <= one.room_most + 3 * hosts + LENGTH / 4


def test_each_shard_pauses_by_itself() -> None:
    spoiled = 0
    for seed in range(12):
        one = ShardedSimulation(seed)
        calm(one.web, 12, attempts=3, away_after=one.dice.uniform(12, 20))
        one.web.away = (one.web.away[0], one.web.away[0] + 0.8 * NEVER_ANSWERED)
        one.run()
        rows = [row for frontier in one.frontiers for row in frontier.settled()]
        assert {row.reason for row in rows} == {Reason.OK}, seed
        assert len(rows) == 12 * 40
        spoiled += one.web.spoiled
    assert spoiled > 0
