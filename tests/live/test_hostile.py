"""The corpus of hostile replies: each has the expected outcome in every mode, and many rounds leak nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import crawler
from crawler.core.urls.canonical import resolve
from crawler.storage.directory import CrawlDirectory
from tests.wire import AT_ONCE, Replay, replaying

ENGINES = [
    ("async", "aiohttp"),
    ("prefork", "aiohttp"),
    ("async", "native"),
    ("threads", "native"),
    ("processes", "native"),
    ("prefork", "native"),
]
"""Every mode with the clients that judge all replies alike; the plain ones leave that to their libraries."""
PATIENCE = 3  # on a busy machine the server may stall for longer than the limits of the corpus
ANSWERED = {"ok", "client_error", "server_error", "other_status"}


class End(NamedTuple):
    """How a URL was settled, and the checksum of its body (0: none is stored)."""

    reason: str
    truncated: str
    checksum: int


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    with replaying() as running:
        yield running


def crawl(replay: Replay, mode: str, client: str, out: Path) -> dict[str, End]:
    """One crawl of all cases: the end of every URL.

    Each has its own host: the server closes connections unannounced, and none is to be reused.
    """
    limits = replay.limits
    keys: dict[str, Any] = {
        "connect_timeout": limits["connect_timeout"],
        "first_byte_timeout": limits["first_byte_timeout"] * PATIENCE,
        "idle_timeout": limits["idle_timeout"] * PATIENCE,
        "timeout": limits["total_timeout"] * PATIENCE,
        "max_body": int(limits["max_body"]),
        "max_redirects": int(limits["max_redirects"]),
    }
    keys |= {"delay": 0.0, "robots": False, "attempts": 1, "max_depth": 0}
    seeds = [url_of(replay, case) for case in replay.cases]
    keys["resolve"] = {seed.split("/")[2]: replay.address for seed in seeds}
    crawler.crawl(*seeds, mode=mode, client=client, out=out, concurrency=5, report=False, **keys)
    directory = CrawlDirectory.open_readonly(out)
    store = directory.store()
    with closing(directory.open_frontiers()) as frontier:
        return {
            row.url: End(
                str(row.reason),
                row.truncated,
                zlib.crc32(store.read(row.part, row.position).body) if row.part else 0,
            )
            for row in frontier.settled()
        }


def final(ends: dict[str, End], case: dict[str, Any], url: str) -> End:
    """The outcome of a case, with its redirects followed."""
    end = ends[url]
    if end.reason == "redirect":
        raw = b64decode(case["raw"]).decode("latin-1")
        location = next(line[10:] for line in raw.split("\r\n") if line.startswith("Location: "))
        return ends[resolve(url, location) or ""]
    return end


def url_of(replay: Replay, case: dict[str, Any]) -> str:
    """The URL of a case."""
    return f"http://c{replay.cases.index(case)}.test/c/{case['id']}"


def outcome(end: End) -> str:
    """The outcome in the terms of the corpus."""
    if end.reason not in ANSWERED:
        return "error"
    return "truncated" if end.truncated else "ok"


@pytest.fixture(scope="module")
def ends(replay: Replay, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, End]]:
    folder = tmp_path_factory.mktemp("crawls")
    return {(mode, client): crawl(replay, mode, client, folder / f"{mode}-{client}") for mode, client in ENGINES}


@pytest.mark.parametrize("engine", ENGINES, ids="-".join)
def test_every_case_has_the_expected_outcome(
    engine: tuple[str, str], replay: Replay, ends: dict[tuple[str, str], dict[str, End]]
) -> None:
    wrong = {}
    for case in replay.cases:
        end = final(ends[engine], case, url_of(replay, case))
        right = outcome(end) in (case["outcome"], *case.get("also_acceptable", ()))
        if outcome(end) == "ok" and case.get("body_len"):
            right = right and end.checksum == case["body_crc"]
        if outcome(end) == "truncated" and "reason" in case:
            right = right and end.truncated == case["reason"]
        if not right:
            wrong[case["id"]] = end
    assert not wrong


def is_late(end: End) -> bool:
    """Whether a time limit ended the fetch."""
    return end.reason == "timeout" or end.truncated == "time"


def test_every_mode_and_client_has_the_same_outcomes(ends: dict[tuple[str, str], dict[str, End]]) -> None:
    """Equal except for the length of slow bodies; on a busy machine a few may time out because the server is slow."""
    first = ends[ENGINES[0]]
    for engine in ENGINES[1:]:
        found = ends[engine]
        assert found.keys() == first.keys()
        differing = [url for url in first if found[url] != first[url]]
        assert all(is_late(found[url]) or is_late(first[url]) for url in differing), engine
        assert len(differing) <= 5


@pytest.mark.parametrize("client", [("aiohttp",), ("native",), ("native", "--threads")], ids=" ".join)
def test_many_rounds_of_all_cases_leak_nothing(client: tuple[str, ...]) -> None:
    words = [sys.executable, "-m", "tests.wire", "--client", *client, "--rounds", "5"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["unsteady"] or all("time" in "".join(ends) for ends in found["unsteady"].values())
    assert len(found["endings"]) == 52
    assert found["resident_bytes"] < found["start_bytes"] + 8 * AT_ONCE * found["max_body"]
