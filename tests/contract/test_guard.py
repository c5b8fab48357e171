"""The guard: which addresses, names and ports may be connected to, as tables, as properties and on the corpus.

No connection is made here; tests/contract/test_guarded.py shows that the clients obey, tests/live/test_guard.py that
whole crawls do.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.urls.canonical import canonical, resolve
from crawler.errors import UsageError
from crawler.fetch.base import ClientPlan
from crawler.fetch.http1.request import split_url
from crawler.fetch.net.address_classes import BAD_PORTS, embedded_addresses, is_address, is_public
from crawler.fetch.net.guard import Blocked, Guard, naming
from tests import corpus

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "126.255.255.255", "128.0.0.1", "172.15.255.255", "172.32.0.0"]
PUBLIC += ["11.0.0.0", "9.255.255.255", "100.63.255.255", "100.128.0.0", "223.255.255.255", "192.0.1.1", "198.20.0.0"]
PUBLIC += ["2606:4700::1111", "2001:4860:4860::8888", "2a00::1", "2001:200::1", "3ffe::1"]
PUBLIC += ["::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1", "2001:0:101:101::fefe:fefe", "2a00::5efe:101:101"]
SPECIAL = ["0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.100.100.200", "127.0.0.1"]
SPECIAL += ["127.255.255.255", "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.192", "192.0.2.1"]
SPECIAL += ["192.88.99.1", "192.168.0.0", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.255", "224.0.0.1"]
SPECIAL += ["239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16"]
SPECIAL += [
    "::",
    "::1",
    "::7f00:1",
    "::1.1.1.1",
    "::ffff:0:127.0.0.1",
    "::ffff:0:1.1.1.1",
    "64:ff9b:1::1.1.1.1",
    "100::1",
]
SPECIAL += ["100:0:0:1::1", "2001:2::1", "2001:db8::1", "2001:10::1", "3fff::1", "3fff:fff::1", "5f00::1", "fc00::1"]
SPECIAL += ["fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "4000::1", "e000::1", "2620:4f:8000::1"]
SPECIAL += [
    "::ffff:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "2002:7f00:1::",
    "2001:0:101:101::80ff:fffe",
    "2a00::5efe:10.0.0.1",
]
SPECIAL += ["2001:0:7f00:1::fefe:fefe", "2a00::200:5efe:127.0.0.1", "2002:101:101::5efe:7f00:1"]


def guard(*seeds: str, networks: tuple[str, ...] = (), there: Mapping[str, str] | None = None) -> Guard:
    return Guard(ClientPlan(seeds=seeds, networks=networks, resolve=there or {}))


def admits(judge: Guard, address: str, port: int = 80) -> bool:
    try:
        judge.check(address, port)
    except Blocked:
        return False
    return True


def admits_url(judge: Guard, url: str, answers: Mapping[str, str]) -> bool:
    """Whether the guard lets a fetch of a URL connect. A name resolves to the given address, or to a public one."""
    _, host, port, _ = split_url(url)
    try:
        judge.check_name(host, port)
        addresses = (host,) if is_address(host) else judge.found(host, port, [answers.get(host, "93.184.216.34")])
        for address in addresses:
            judge.check(address, port)
    except Blocked:
        return False
    return True


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_public(address)
    assert admits(guard(), address)


@pytest.mark.parametrize("address", SPECIAL)
def test_all_other_addresses_are_refused_with_the_reason(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(Blocked, match=r"^[^\n]+, (not in use|[^\n]+ \([^\n]+\)); if that is meant, ") as caught:
        guard().check(address, 80)
    assert str(embedded_addresses(address)[0]) in str(caught.value) or str(embedded_addresses(address)[-1]) in str(
        caught.value
    )


# ---- what carries an IPv4 address ------------------------------------------------------------------------------------

ADDRESSES = st.integers(0, 2**32 - 1)
FORMS = [
    lambda v4: 0xFFFF << 32 | v4,
    lambda v4: 0x64_FF9B << 96 | v4,
    lambda v4: 0x2002 << 112 | v4 << 80 | 1,
    lambda v4: 0x2001 << 112 | v4 << 64 | 0xFEFE_FEFE,  # by the server 1.1.1.1 ...
    lambda v4: 0x2001 << 112 | 0x0101_0101 << 64 | v4 ^ 0xFFFF_FFFF,  # ... and as the client
    lambda v4: 0x2A00 << 112 | 0x0000_5EFE << 32 | v4,
    lambda v4: 0x2A00 << 112 | 0x0200_5EFE << 32 | v4,
]


@given(ADDRESSES, st.sampled_from(FORMS))
def test_an_ipv6_form_that_embeds_an_ipv4_address_is_judged_by_it(v4: int, form: Any) -> None:
    carrier = str(IPv6Address(form(v4)))
    assert IPv4Address(v4) in embedded_addresses(carrier)
    assert is_public(carrier) == is_public(str(IPv4Address(v4)))


@given(ADDRESSES, st.sampled_from([0, 0xFFFF << 48, 0x64_FF9B_0001 << 80]))
def test_an_unrouted_ipv6_form_is_refused_whatever_it_embeds(v4: int, prefix: int) -> None:
    assert not is_public(str(IPv6Address(prefix | v4)))


@given(st.integers(0, 2**128 - 1))
def test_ipv6_is_allowed_only_where_it_is_global_unicast(bits: int) -> None:
    address = IPv6Address(bits)
    if is_public(str(address)):
        assert bits >> 125 == 1 or bits >> 32 in (0xFFFF, 0x64_FF9B << 64)


@given(st.one_of(ADDRESSES.map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)))
def test_addresses_private_in_the_standard_library_are_refused(address: IPv4Address | IPv6Address) -> None:
    inner = embedded_addresses(str(address))
    if len(inner) == 1 and inner[0].is_private:
        assert not is_public(str(address))


# ---- what is named ---------------------------------------------------------------------------------------------------


def test_a_seed_allows_its_address_at_its_port_only() -> None:
    judge = guard("http://127.0.0.1:8088/", "https://[::1]/x")
    assert admits(judge, "127.0.0.1", 8088)
    assert admits(judge, "::ffff:127.0.0.1", 8088), "another spelling of the same URL"
    assert admits(judge, "::1", 443)
    for address, port in (("127.0.0.1", 80), ("127.0.0.2", 8088), ("10.0.0.1", 8088), ("::1", 8088)):
        assert not admits(judge, address, port)


def test_a_seed_with_a_public_name_allows_no_private_address() -> None:
    judge = guard("http://intranet.example/", "http://rebind.test/")
    for name in ("intranet.example", "rebind.test"):
        with pytest.raises(Blocked, match=rf"^{name} is 10\.0\.0\.1:80, private \(10\.0\.0\.0/8\)"):
            judge.found(name, 80, ["10.0.0.1"])
    assert judge.found("rebind.test", 80, ["10.0.0.1", "1.1.1.1", "::1"]) == ("1.1.1.1",)


@pytest.mark.parametrize(
    "name", ["wiki", "wiki.local", "wiki.corp.internal", "nas.home.arpa", "localhost", "a.localhost"]
)
def test_a_seed_with_a_local_name_allows_the_address_it_resolves_to(name: str) -> None:
    judge = guard(f"http://{name}:8000/")
    judge.check_name(name, 8000)
    assert judge.found(name, 8000, ["10.0.0.1", "::1"]) == ("10.0.0.1", "::1")
    assert admits(judge, "10.0.0.1", 8000)
    assert not admits(judge, "10.0.0.1", 80)
    with pytest.raises(Blocked):
        judge.found(f"other-{name}", 8000, ["10.0.0.2"])
    with pytest.raises(Blocked):
        guard().found(name, 8000, ["10.0.0.1"])


def test_allowed_networks_are_allowed_at_all_ports() -> None:
    judge = guard(networks=("10.0.0.0/8", "fd00::/16"))
    assert admits(judge, "10.1.2.3", 80) and admits(judge, "10.1.2.3", 8080) and admits(judge, "fd00::1")
    assert judge.found("intranet.example", 80, ["10.0.0.1"]) == ("10.0.0.1",)
    assert admits(judge, "64:ff9b::a00:1")
    assert not admits(judge, "192.168.0.1") and not admits(judge, "fd01::1") and not admits(judge, "64:ff9b::7f00:1")


def test_resolve_entries_allow_their_targets() -> None:
    there = {"a.test": "127.0.0.1:8080", "b.test": "10.0.0.1", "c.test:81": "10.0.0.2", "d.test": "backend:9000"}
    judge = guard("http://b.test:8001/", there=there)
    assert admits(judge, "127.0.0.1", 8080) and not admits(judge, "127.0.0.1", 80)
    assert [port for port in (80, 81, 443, 8001, 8002) if admits(judge, "10.0.0.1", port)] == [80, 443, 8001]
    assert [port for port in (80, 81, 443) if admits(judge, "10.0.0.2", port)] == [81]
    assert judge.found("backend", 9000, ["192.168.0.9"]) == ("192.168.0.9",)


def test_numbers_that_are_not_addresses_are_names() -> None:
    judge = guard(there={"a.test": "127.1:80", "b.test": "300.1.1.1", "c.test": "2130706433:81"})
    with pytest.raises(Blocked):
        judge.found("127.1", 80, ["127.0.0.1"])
    assert judge.found("2130706433", 81, ["127.0.0.1"]) == ("127.0.0.1",)


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "x.localhost", "localhost.localdomain", "ip6-localhost"])
def test_names_of_this_machine_are_refused(name: str) -> None:
    with pytest.raises(Blocked):
        guard("http://localhost:8000/").check_name(name, 80)


@pytest.mark.parametrize("name", ["metadata.google.internal", "metadata", "instance-data"])
def test_names_of_metadata_services_are_refused(name: str) -> None:
    with pytest.raises(Blocked):
        guard().check_name(name, 80)


def test_ports_of_other_protocols_are_refused_on_any_host() -> None:
    judge = guard(networks=("127.0.0.0/8",))
    for port in BAD_PORTS:
        assert not admits(judge, "1.1.1.1", port) and not admits(judge, "127.0.0.1", port)
        with pytest.raises(Blocked, match="none of HTTP's"):
            judge.check_name("www.example.org", port)
    assert not {80, 443, 8000, 8080, 8443, 3000, 9200} & BAD_PORTS


def test_only_seeds_that_allow_an_address_are_kept() -> None:
    seeds = ("http://a.test/", "http://b.test/", "http://1.1.1.1/", "http://10.0.0.1/", "http://[::1]/", "http://wiki/")
    assert naming(seeds, {"b.test": "127.0.0.1"}) == seeds[1:2] + seeds[3:]


def test_an_invalid_network_is_reported() -> None:
    with pytest.raises(UsageError, match="10\\.0\\.0\\.1/8 has host bits set"):
        guard(networks=("10.0.0.1/8",))


# ---- the corpus ------------------------------------------------------------------------------------------------------


def test_the_corpus() -> None:
    judge, wrong, cases = guard(), [], corpus.cases("ssrf/ssrf_urls")
    for case in cases:
        url = canonical(case["url"]) or resolve("http://example.com/", case["url"])
        # names that resolve to a private address according to the corpus
        answers = {"127.0.0.1.nip.io": "127.0.0.1"}
        if (url is not None and admits_url(judge, url, answers)) != (case["expect"] == "allow"):
            wrong.append(case["url"])
    assert (wrong, len(cases)) == ([], 100)
