"""Re-crawls of a small site that changes between them, and the checks of each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import crawler
from crawler.metrics.summary import Summary
from crawler.storage.database import connect_to_read
from crawler.storage.diff import GenerationDiff
from crawler.storage.directory import CrawlDirectory
from crawler.storage.generations import chosen, folder_of
from crawler.storage.verify import audit
from tests.contract.changing_site import ChangingSite, page

NAMES = ("one", "two", "three", "four")
FAST: dict[str, Any] = {
    "mode": "threads",
    "delay": 0.0,
    "per_host": 4,
    "attempts": 2,
    "backoff": 0.001,
    "host_patience": 0.0,
    "report": False,
}


def pages() -> dict[str, bytes | int | Callable[[], bytes]]:
    return {"/": page("home", *NAMES), **{f"/{name}": page(name, "/") for name in NAMES}}


def first(site: ChangingSite, tmp_path: Path, **keys: object) -> Path:
    out = tmp_path / "c"
    summary = crawler.crawl(site.url, out=out, **(FAST | keys))
    assert (summary.generation, summary.not_modified) == (0, 0)
    site.take_asked()
    return out


def again(out: Path, **keys: Any) -> Summary:
    """The next generation, which must be intact."""
    summary = crawler.recrawl(out, **keys)
    check(out, summary.generation)
    return summary


def check(out: Path, number: int) -> None:
    found = audit(CrawlDirectory.open_readonly(chosen(out, number)))
    assert (found.wrong, found.generation) == (0, number), found.problems


def bodies_stored(out: Path, number: int) -> int:
    """The bodies that a generation has in its own files."""
    folder = folder_of(out, number)
    count = sum(path.is_file() for path in (folder / "bodies").glob("*/*"))
    for path in (folder / "parts").glob("*.sqlite"):
        with closing(connect_to_read(path)) as connection:
            count += connection.execute("SELECT count(*) FROM page WHERE body IS NOT NULL").fetchone()[0]
    return count


def fresh_digest(site: ChangingSite, tmp_path: Path, **keys: Any) -> str:
    """The digest of a first crawl."""
    return crawler.crawl(site.url, out=tmp_path / "fresh", **(FAST | keys)).digest


def unchanged(found: GenerationDiff) -> tuple[int, int, int]:
    same = found.unchanged
    return same.not_modified, same.same_digest, same.same_content
