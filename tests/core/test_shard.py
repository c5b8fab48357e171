"""Which shard a URL belongs to."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.rules import Rules
from crawler.core.shards.shard import SLOTS, Shard, jump, owners, slot_of

HOSTS = [f"http://host-{n}.test" for n in range(2000)]


def test_the_slot_of_a_host_never_changes() -> None:
    assert [slot_of(host) for host in HOSTS[:4]] == [416, 888, 340, 682]


@given(st.integers(1, 16))
def test_every_slot_has_one_owner_and_every_shard_a_fair_share(count: int) -> None:
    shares = Counter(owners(count))
    assert len(owners(count)) == SLOTS
    assert set(shares) == set(range(count))
    assert max(shares.values()) < 1.5 * SLOTS / count


@given(st.integers(1, 15))
def test_an_additional_shard_moves_only_the_slots_that_it_gets(count: int) -> None:
    moved = [after for before, after in zip(owners(count), owners(count + 1), strict=True) if before != after]
    assert set(moved) == {count}
    assert len(moved) < 1.5 * SLOTS / (count + 1)


@pytest.mark.parametrize("count", [65, 256, 1000])
def test_many_shards_have_even_shares_and_another_one_moves_only_what_it_gets(count: int) -> None:
    names = [f"http://host-{n}.test" for n in range(100 * count)]
    before, after = Shard(0, count), Shard(0, count + 1)
    shares = Counter(before.owner(name) for name in names)
    assert set(shares) == set(range(count))
    assert max(shares.values()) < 1.5 * 100
    moved = Counter(after.owner(name) for name in names if before.owner(name) != after.owner(name))
    assert set(moved) == {count}
    assert sum(moved.values()) < 2 * 100


def test_jumps_are_those_of_other_implementations() -> None:
    known = {(1, 1): 0, (42, 57): 43, (0xDEAD10CC, 1): 0, (0xDEAD10CC, 666): 361, (256, 1024): 520}
    assert {asked: jump(*asked) for asked in known} == known


@given(st.integers(1, 9), st.integers(0, 1000))
def test_shares_add_up(count: int, total: int) -> None:
    shares = [Shard(index, count).share(total) for index in range(count)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


def test_all_shards_agree_on_the_owner_of_a_host() -> None:
    assert all(Shard(0, 3).owner(host) == Shard(2, 3).owner(host) for host in HOSTS)


def test_a_host_with_cookies_is_not_spread() -> None:
    shard = Shard(0, 2)
    assert shard.may_spread(0.0, Rules(per_host=8).shared_by)
    assert not shard.may_spread(0.0, Rules(per_host=8, cookies=True).shared_by)
