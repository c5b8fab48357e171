"""The long runs, for a few seconds: they inject faults, check the invariants and print their counts."""

from __future__ import annotations

import pytest

import variants
from tests.faults.calls import ERRORS
from tests.faults.campaign import Campaign
from tests.faults.soak import Sample, Soak, growth

pytestmark = pytest.mark.faults


def test_a_campaign_injects_faults_and_no_invariant_is_violated() -> None:
    campaign = Campaign(seed=5)
    for _ in range(10):  # a fault may not occur if the crawl ends before it
        campaign.run(minutes=0.05, lanes=2)
        if campaign.landed:
            break
    assert (campaign.failures, campaign.landed.total() > 0) == ([], True)
    lines = list(campaign.table())
    assert len(lines) > 2 * len(variants.names())
    assert f"{campaign.landed.total()} blows landed in {campaign.crawls} crawls" in lines[-1]
    assert {kind.partition(":")[2] for _, _, kind in campaign.landed if kind.startswith("call:")} <= set(ERRORS)


def test_a_soak_injects_faults_and_no_invariant_is_violated() -> None:
    soak = Soak("prefork", seconds=12, every=3, seed=2)
    soak.run()
    assert soak.landed.total() > 0 and soak.crawls > 0
    assert f"{soak.crawls} crawls kept all promises" in next(soak.lines())


def test_growth_compares_the_last_third_with_the_third_before() -> None:
    start_up = [Sample(1, 1, 1)] * 20
    assert growth(start_up + [Sample(100, 10, 4)] * 40) == (1.0, 1.0, 1.0)
    assert growth(start_up + [Sample(100, 10, 4)] * 20 + [Sample(150, 10, 5)] * 20) == (1.5, 1.0, 1.25)
