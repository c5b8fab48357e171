"""A small set of re-crawls and kills; the long one is `python -m tests.live.recrawl_kills`."""

from __future__ import annotations

from pathlib import Path

from tests.live.nightly_site import Edits, nightly_site
from tests.live.recrawl_kills import Nights

MODES = ("prefork", "threads")


def test_edits_of_a_site_behind_nginx_are_the_diff_in_two_modes_and_whatever_is_killed(tmp_path: Path) -> None:
    with nightly_site(own=60) as site:
        nights = Nights(site, tmp_path, Edits(8, 4, 3), MODES, seed=1)
        nights.kill("group", 1)
        nights.kill("worker", 1)
    assert sum(nights.found.kills.values()) == 2
