"""Which shard a URL belongs to."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from crawler.core.rules import Rules
from crawler.core.shards.shard import SLOTS, Shard, owners, slot_of

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
