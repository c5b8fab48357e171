"""How much memory a crawl may take: sizes as people write them, the default, the bounds and the brake."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler import memory
from crawler.core.bounds import PLENTY
from crawler.errors import UsageError
from crawler.memory import Brake, bounds_within, default_memory, parse_size
from crawler.settings import settle
from crawler.testweb.process import start_web
from tests.contract import webs


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("200M", 200 << 20),
        ("2G", 2 << 30),
        ("1.5g", 3 << 29),
        ("1TiB", 1 << 40),
        ("204800 kb", 200 << 20),
        ("134217728", 1 << 27),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-200M", "200X", "2,5G", "many", "200MM"])
def test_what_is_no_size_is_refused_with_its_key(text: str) -> None:
    with pytest.raises(UsageError, match=r"bad value for max_memory = '.*': expected a size like 200M or 2G"):
        settle({"max_memory": text})


def test_less_than_a_crawl_needs_to_begin_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 100M"):
        settle({"max_memory": "99M"})


def test_the_default_is_half_of_what_the_innermost_limit_allows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_limit_files", lambda: [tmp_path / name for name in ("inner", "outer", "missing")])
    monkeypatch.setattr(memory, "_machine", lambda: 8 << 30)
    assert default_memory() == 4 << 30
    (tmp_path / "outer").write_text("2147483648\n")
    (tmp_path / "inner").write_text("max\n")
    assert default_memory() == 1 << 30
    (tmp_path / "inner").write_text("1073741824\n")
    assert default_memory() == 1 << 29
    (tmp_path / "inner").write_text("1024\n")
    assert default_memory() == 100 << 20


def test_the_limits_of_this_very_process_are_looked_for_where_the_kernel_says() -> None:
    assert all(path.name in ("memory.max", "memory.limit_in_bytes") for path in memory._limit_files())
    assert default_memory() >= 100 << 20


def test_more_memory_means_wider_bounds_and_the_least_is_enough_for_some() -> None:
    small, large = bounds_within(100 << 20), bounds_within(4 << 30)
    assert small.hosts >= 100 and small.links >= 1000 and small.marks >= 100_000
    assert large.hosts > small.hosts and large.links > small.links and large.marks > small.marks


def test_the_brake_lets_few_out_per_weighing_until_there_is_room_again() -> None:
    released: list[int] = []
    brake = Brake(100, lambda: released.append(brake.room()))
    brake.weigh(80)
    assert (brake.room(), released) == (PLENTY, [])
    brake.weigh(101)
    assert [brake.room(), brake.room()] == [1, 0]
    brake.weigh(101)
    brake.weigh(99)
    brake.weigh(102)
    assert released == [2, 4, 1], "whoever waits is woken; not heavier: twice as many, heavier: one"
    brake.weigh(50)
    assert released == [2, 4, 1, PLENTY]


def test_a_crawl_that_takes_more_than_it_may_from_the_start_still_completes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("crawler.meter.PERIOD", 0.02)
    monkeypatch.setattr("crawler.memory.BRAKE_AT", 0.0001)
    with start_web(hosts=webs.HOSTS, pages=webs.PAGES) as web:
        summary = webs.crawl(tmp_path / "out", webs.settings(web, "async", max_memory="100M"))
    assert (summary.owed, summary.digest) == (0, webs.DIGEST)
