"""Hosts with the same address share its delay."""

from __future__ import annotations

from crawler.core.hosts.addresses import MOST, Addresses

A, B, C = (f"http://{name}.h.test" for name in "abc")
OTHER = "http://o.test"
DELAY = 1.0


def test_one_fetch_at_a_time_and_a_delay_after_it() -> None:
    addresses = Addresses()
    assert addresses.wait(A, DELAY, 0.0) is None, "its address is not known yet"
    addresses.start(A)
    addresses.land(A, "10.0.0.1", DELAY, 0.5)
    assert addresses.wait(A, DELAY, 1.0) == 1.5
    assert addresses.wait(B, DELAY, 1.0) == 2.5, "the address of its domain is assumed, so it waits for the next turn"
    assert addresses.wait(OTHER, DELAY, 1.0) is None
    assert addresses.wait(A, DELAY, 1.5) is None
    addresses.start(A)
    assert addresses.wait(B, DELAY, 2.5) == 3.5, "one is in flight"
    addresses.land(A, "", DELAY, 2.6)
    assert addresses.wait(C, DELAY, 2.6) == 4.5
    assert addresses.wait(B, DELAY, 3.6) is None


def test_a_host_with_another_address_has_its_own_delay() -> None:
    addresses = Addresses()
    addresses.land(A, "10.0.0.1", DELAY, 0.0)
    addresses.land(B, "10.0.0.2", DELAY, 0.0)
    addresses.land(A, "10.0.0.1", DELAY, 5.0)
    assert addresses.wait(B, DELAY, 5.0) is None


def test_an_address_is_shared_across_shards() -> None:
    addresses = Addresses(4)
    addresses.land(A, "10.0.0.1", DELAY, 0.0)
    assert addresses.wait(A, DELAY, 1.0) == 4.0


def test_memory_is_bounded() -> None:
    addresses = Addresses()
    for n in range(MOST + 10):
        addresses.land(f"http://h{n}.test", f"a{n}", DELAY, 0.0)
    assert len(addresses._by_name) <= MOST + 2
    assert len(addresses._addresses) <= MOST + 1
    assert addresses.wait("http://h0.test", DELAY, 0.0) is None
