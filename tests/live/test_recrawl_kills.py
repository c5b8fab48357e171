"""A small set of re-crawls and kills; the long one is `python -m tests.live.recrawl_kills`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.database_server import DatabaseServer
from tests.live.nightly_site import Edits, nightly_site
from tests.live.recrawl_kills import Nights
from tests.live.test_remote import places
from tests.object_server import ObjectServer

MODES = ("prefork", "threads")


def test_edits_of_a_site_behind_nginx_are_the_diff_in_two_modes_and_whatever_is_killed(tmp_path: Path) -> None:
    with nightly_site(own=60) as site:
        nights = Nights(site, tmp_path, Edits(8, 4, 3), MODES, seed=1)
        nights.kill("group", 1)
        nights.kill("worker", 1)
    assert sum(nights.found.kills.values()) == 2


@pytest.mark.long
def test_so_they_are_where_urls_are_in_postgresql_and_pages_in_an_object_store(
    tmp_path: Path, database_server: DatabaseServer, object_server: ObjectServer
) -> None:
    with nightly_site(own=60) as site:
        nights = Nights(site, tmp_path, Edits(8, 4, 3), MODES, seed=1, places=places(database_server, object_server))
        nights.kill("group", 3)
    assert nights.found.kills["group"] == 3
