"""The heap of times is what a dictionary that is searched from end to end would say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawler.service.core.wake_times import SPARE, WakeTimes

CHANGES = st.lists(st.tuples(st.sampled_from("abcde"), st.none() | st.integers(0, 9).map(float)), max_size=40)


@given(CHANGES)
def test_the_first_is_the_earliest_of_all_whatever_changed_before(changes: list[tuple[str, float | None]]) -> None:
    times, plain = WakeTimes(), dict[str, float]()
    for key, at in changes:
        if at is None:
            times.discard(key)
            plain.pop(key, None)
        else:
            times.set(key, at)
            plain[key] = at
        assert times.first() == min(((one, name) for name, one in plain.items()), default=None)
        assert times.in_order() == [name for _, name in sorted((one, name) for name, one in plain.items())]
        assert len(times) == len(plain)


def test_entries_that_no_longer_count_have_a_bound() -> None:
    times = WakeTimes()
    for number in range(10_000):
        times.set("a", 1e9 + number)
    assert len(times._heap) <= 2 + SPARE
    assert times.first() == (1e9 + 9_999, "a")
