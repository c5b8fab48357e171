"""Traps end within their bounds and ordinary sites are crawled completely, in every mode, on real sockets.

A small version; `python -m tests.live.endless_sites` has any seed, size and length.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import variants
from tests.endless_web import Made
from tests.live.endless_sites import EndlessWeb, crawled

SLOW = {"facets-echo.trap", "session-menu.trap", "facets.trap", "facets-path.trap"}
FEW = {"gallery.honest", "gallery-alike.honest", "forum.honest", "shop.honest", "wiki.honest", "versions.honest"} | {
    "archive.honest",
    "sid-stories.honest",
    "uuids.honest",
}


@pytest.mark.parametrize("mode", variants.names())
def test_traps_end_and_ordinary_sites_are_crawled_completely(mode: str, tmp_path: Path) -> None:
    with EndlessWeb(Made(3, 25, 15), Made(3, 450, 15)) as web:
        names = [name for name in web.sites if name in FEW or (name.endswith(".trap") and name not in SLOW)]
        names.remove("wildcard.trap")
        found = crawled(web, mode, tmp_path / "c", names, pattern_pages=400)
        found |= crawled(web, mode, tmp_path / "w", ["wildcard.trap"])
    assert all(it.over for it in found.values()), "the crawl did not end by itself"
    assert {name: it for name, it in found.items() if name.endswith(".honest") and it.stored < 1.0} == {}
    traps = {name: it for name, it in found.items() if name.endswith(".trap")}
    assert {name: it for name, it in traps.items() if it.requests > it.allowed or it.stored < 0.95} == {}
    assert all(it.refused for it in traps.values()), "a stop was not reported"
