"""A few kills of a cluster, one of each kind; the long campaign is `python -m tests.live.cluster_kills`."""

from __future__ import annotations

import pytest

pytest.importorskip("ray")
pytest.importorskip("psycopg")
pytest.importorskip("obstore")

from tests.live.cluster_kills import ClusterCampaign


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_cluster_loses_nothing_whatever_is_killed_and_a_zombie_writes_nothing() -> None:
    campaign = ClusterCampaign(hosts=40, pages=3000, concurrency=32, seed=1)
    try:
        report = campaign.run(8, (0.5, 3.0))
    finally:
        campaign.close()
    assert report.kills == 8
    assert report.refused > 0
