# ruff: noqa: F401, F811 - the fixtures are those of test_fetchers
"""Every client asks the guard before it connects, and one cache for names. The answers of the DNS are faked here."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from msgspec.structs import replace

from crawler.core.reasons import FetchErrorKind
from crawler.errors import UsageError
from crawler.fetch.base import ClientPlan, Fetcher, FetchError, Limits, Request
from crawler.fetch.net import endpoints as ways
from crawler.fetch.net.dns_cache import AT_ONCE, CROWD, DnsCache, LookupPending, Unanswered
from crawler.settings import merge_layers

from .raw_server import response
from .test_fetchers import Open, always, client, opened

Answers = Mapping[str, list[str] | OSError | float]


class Dns:
    """Fakes the system's resolver: addresses, an error, or no answer for so many seconds. Records the queries."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.questions: list[str] = []
        self._real = socket.getaddrinfo

    def __call__(self, host: str, port: Any, *args: Any, **options: Any) -> Any:
        answer = self.answers.get(host)
        if answer is None:
            return self._real(host, port, *args, **options)
        self.questions.append(host)
        if isinstance(answer, float):
            time.sleep(answer)
            answer = ["127.0.0.1"]
        if isinstance(answer, OSError):
            raise answer
        return [found for one in answer for found in self._real(one, port, type=socket.SOCK_STREAM)]


def trouble(fetcher: Fetcher, asked: str | Request) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(Request(asked) if isinstance(asked, str) else asked)
    return caught.value


def is_known(fetcher: Fetcher, request: Request) -> bool:
    """Whether the name of a request has been resolved by now, so that the request is answered."""
    try:
        return fetcher.fetch(request).status == 200
    except FetchError as error:
        assert error.kind in (FetchErrorKind.DNS_PENDING, FetchErrorKind.DNS), error
        return False


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dns]:
    made_up = Dns()
    monkeypatch.setattr(socket, "getaddrinfo", made_up)
    monkeypatch.setattr(ways, "NAMES", DnsCache())
    yield made_up


# ---- the guard -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost"])
def test_a_private_address_that_is_not_allowed_is_never_connected_to(opened: Open, host: str) -> None:
    with always(response()) as server:
        error = trouble(opened(networks=()), f"http://{host}:{server.port}/")
    assert (error.kind, server.connections) == (FetchErrorKind.BLOCKED, 0)
    assert str(server.port) in error.detail


def test_a_seed_allows_one_port_of_one_address(opened: Open) -> None:
    with always(response(b"mine")) as mine, always(response()) as other:
        fetcher = opened(networks=(), seeds=(mine.url + "/",))
        assert fetcher.fetch(Request(mine.url + "/x")).body == b"mine"
        assert trouble(fetcher, other.url + "/").kind is FetchErrorKind.BLOCKED
        assert fetcher.fetch(Request(mine.url + "/y")).body == b"mine"
    assert other.connections == 0


def test_localhost_is_allowed_where_it_is_a_seed(opened: Open) -> None:
    with always(response(b"mine")) as server:
        seed = f"http://localhost:{server.port}/"
        assert opened(networks=(), seeds=(seed,)).fetch(Request(seed)).body == b"mine"


def test_only_allowed_addresses_of_an_answer_are_tried(opened: Open, dns: Dns) -> None:
    with always(response(b"fine")) as server:
        fetcher = opened(networks=("127.0.0.1",))
        dns.answers = {"mixed.test": ["10.0.0.1", "127.0.0.1", "::1"], "bad.test": ["10.0.0.1", "::1"]}
        assert fetcher.fetch(Request(f"http://mixed.test:{server.port}/")).body == b"fine"
        error = trouble(fetcher, f"http://bad.test:{server.port}/")
    assert error.kind is FetchErrorKind.BLOCKED
    assert error.detail.startswith(f"bad.test is 10.0.0.1:{server.port}, private (10.0.0.0/8)")


def test_dns_rebinding_is_blocked(
    opened: Open,
    dns: Dns,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with always(response()) as server:
        fetcher = opened(networks=("127.0.0.1",))
        dns.answers = {"rebind.test": ["127.0.0.1"]}
        fetcher.fetch(Request(f"http://rebind.test:{server.port}/"))
        monkeypatch.setattr(ways, "NAMES", DnsCache())  # the cached answer has expired
        dns.answers = {"rebind.test": ["127.0.0.2"]}
        kept = [trouble(fetcher, f"http://rebind.test:{server.port + 1}/").kind]
    assert kept == [FetchErrorKind.BLOCKED]


@pytest.mark.parametrize("port", [22, 25, 6667])
def test_ports_of_other_protocols_are_blocked(opened: Open, port: int) -> None:
    fetcher = opened(networks=("127.0.0.0/8",))
    for host in ("127.0.0.1", "no-such-host.invalid"):
        error = trouble(fetcher, f"http://{host}:{port}/")
        assert (error.kind, error.detail) == (FetchErrorKind.BLOCKED, f"port {port} is none of HTTP's")


@pytest.mark.parametrize("network", ["10.0.0.1/8", "intranet", "10.0.0.0/40"])
def test_an_invalid_network_is_refused_with_examples(network: str) -> None:
    with pytest.raises(UsageError, match=r"bad value for allow_networks: .*expected networks such as"):
        merge_layers({"allow_networks": [network]})


def test_untrusted_seeds_allow_nothing() -> None:
    seeds = ["http://127.0.0.1:8000/", "http://example.org/"]
    assert merge_layers({"seeds": seeds}).client_plan(1).seeds == ("http://127.0.0.1:8000/",)
    assert merge_layers({"seeds": seeds, "trust_seeds": False}).client_plan(1).seeds == ()


# ---- names -----------------------------------------------------------------------------------------------------------


def test_a_name_is_looked_up_once(opened: Open, dns: Dns) -> None:
    dns.answers = {"once.test": ["127.0.0.1"], "never.test": socket.gaierror(socket.EAI_NONAME, "no such name")}
    with always(response()) as server:
        for fetcher in (opened(), opened()):
            for path in ("a", "b"):
                fetcher.fetch(Request(f"http://once.test:{server.port}/{path}"))
                assert trouble(fetcher, "http://never.test/").kind is FetchErrorKind.DNS
    assert sorted(dns.questions) == ["never.test", "once.test"]


def test_a_slow_lookup_fails_at_the_connect_deadline_and_serves_the_next_attempt(
    opened: Open,
    dns: Dns,
) -> None:
    dns.answers = {"slow.test": 1.5}
    with always(response()) as server:
        fetcher = opened(limits=Limits(connect=0.9))
        slow = Request(f"http://slow.test:{server.port}/")
        put_off = trouble(fetcher, slow)
        assert (put_off.kind, put_off.detail) == (FetchErrorKind.DNS_PENDING, "slow.test: no answer yet")
        errors = [trouble(fetcher, replace(slow, wait_for_dns=True)) for _ in range(3)]
        assert [error.kind for error in errors] == [FetchErrorKind.DNS] * 3
        assert errors[0].detail == "slow.test: no answer within 0.9 s"
        give_up_at = time.monotonic() + 10
        while not is_known(fetcher, slow):
            assert time.monotonic() < give_up_at, "the late answer is not used"
            time.sleep(0.02)
    assert dns.questions == ["slow.test"]


def test_a_lookup_without_a_thread_fails_and_the_next_one_starts_again(
    dns: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*args: object) -> None:
        raise RuntimeError("can't start new thread")

    dns.answers = {"a.test": ["127.0.0.1"]}
    names = DnsCache()
    with monkeypatch.context() as patched:
        patched.setattr("crawler.fetch.net.dns_cache.start_thread", no_thread)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="new thread"):
                names.find("a.test", 60)
    assert names.find("a.test", 60) == ("127.0.0.1",)
    assert dns.questions == ["a.test"]


def test_a_failure_is_cached_for_as_long_as_the_lookup_took(dns: Dns) -> None:
    names = DnsCache()
    dns.answers = {"flaps.test": socket.gaierror(socket.EAI_AGAIN, "try again")}
    with pytest.raises(socket.gaierror):
        names.find("flaps.test", 5)
    dns.answers = {"flaps.test": ["127.0.0.1"]}
    assert names.find("flaps.test", 5) == ("127.0.0.1",)


def test_with_many_slow_lookups_no_fetch_waits_for_another(dns: Dns) -> None:
    names = DnsCache(threads=50)
    dns.answers = {f"slow{n}.test": 4.0 for n in range(40)} | {"fine.test": ["127.0.0.1"]}
    for name in list(dns.answers)[:CROWD]:
        with pytest.raises(Unanswered):
            names.find(name, 0.01)
    began = time.monotonic()
    for name in list(dns.answers)[CROWD:40]:
        with pytest.raises(LookupPending):
            names.find(name, 60, wait_for_dns=False)
        with pytest.raises(Unanswered):
            names.find(name, 60, wait_for_dns=True)
    assert time.monotonic() - began < (40 - CROWD) * AT_ONCE, "each waited less than the usual time for a lookup"
    assert names.find("fine.test", 60) == ("127.0.0.1",)
    assert len(dns.questions) == 41


def test_idle_threads_end(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.fetch.net.dns_cache._IDLE", 0.05)
    names = DnsCache()
    dns.answers = {f"n{n}.test": ["127.0.0.1"] for n in range(20)}
    before = threading.active_count()
    for _ in range(2):
        for name in dns.answers:
            names.find(name, 5)
        give_up_at = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < give_up_at:
            time.sleep(0.02)
        assert threading.active_count() <= before
        names._known.clear()
    assert len(dns.questions) == 40
