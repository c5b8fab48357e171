"""Which URLs are in scope."""

from __future__ import annotations

import re
from typing import Literal

import pytest

from crawler.core.rules import Rules
from crawler.core.urls.scope import Scope

SEEDS = ["http://www.shop.co.uk/start", "https://[::1]:8443/", "http://127.0.0.1/", "http://alice.github.io", "no URL"]


@pytest.mark.parametrize(
    ("include", "exclude", "url", "ours"),
    [
        ((), (), "http://h.test/a", True),
        (("^/docs/",), (), "http://h.test/docs/a", True),
        (("^/docs/",), (), "http://h.test/blog/docs/", False),
        (("^/docs/", "^/blog/"), (), "http://h.test/blog/docs/", True),
        ((), (r"\.zip$",), "http://h.test/a.zip", False),
        ((), (r"\.zip$",), "http://h.test/a.zip?as=b", False),
        ((), (r"\.zip$",), "http://h.test/a?as=b.zip", True),
        (("^/docs/",), ("old",), "http://h.test/docs/old/", False),
        (("h.test",), (), "http://h.test/a", False),
    ],
)
def test_paths_in_scope(include: tuple[str, ...], exclude: tuple[str, ...], url: str, ours: bool) -> None:
    assert Scope(Rules(include=include, exclude=exclude), []).admits_path(url) is ours


@pytest.mark.parametrize(
    ("reach", "host", "ours"),
    [
        ("any", "http://anywhere.test", True),
        ("host", "http://www.shop.co.uk", True),
        ("host", "https://www.shop.co.uk", False),
        ("host", "http://www.shop.co.uk:8080", False),
        ("host", "http://shop.co.uk", False),
        ("host", "https://[::1]:8443", True),
        ("domain", "https://img.shop.co.uk:8080", True),
        ("domain", "http://shop.co.uk.", True),
        ("domain", "http://other.co.uk", False),
        ("domain", "http://co.uk", False),
        ("domain", "http://notshop.co.uk", False),
        ("domain", "http://bob.github.io", False),
        ("domain", "http://127.0.0.1:81", True),
        ("domain", "http://10.0.0.1", False),
        ("domain", "http://[::1]", True),
        ("domain", "http://[::2]", False),
    ],
)
def test_hosts_in_scope(reach: Literal["host", "domain", "any"], host: str, ours: bool) -> None:
    assert Scope(Rules(scope=reach), SEEDS).admits_host(host) is ours


@pytest.mark.parametrize(
    ("seed", "site"),
    [
        ("http://x.test/a", "http://x.test https://x.test http://www.x.test https://www.x.test"),
        ("https://www.x.test:443/", "http://x.test https://x.test http://www.x.test https://www.x.test"),
        ("http://localhost/", "http://localhost https://localhost"),
        ("http://www.test/", "http://www.test https://www.test"),
        ("http://127.0.0.1/", "http://127.0.0.1 https://127.0.0.1"),
        ("https://[::1]/", "http://[::1] https://[::1]"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("http://x.test:443/", "http://x.test:443"),
    ],
)
def test_the_hosts_of_a_site(seed: str, site: str) -> None:
    scope = Scope(Rules(), [seed])
    name = seed.partition("://")[2].partition("/")[0]
    bare = name.removeprefix("www.").removesuffix(":443") if "https" in seed else name
    others = (
        f"{scheme}://{www}{bare}{port}" for scheme in ("http", "https") for www in ("", "www.") for port in ("", ":1")
    )
    ours = set(site.split())
    assert all(scope.admits_host(host) for host in ours)
    assert not any(scope.admits_host(host) for host in {*others, "http://a.x.test", "http://test"} - ours)


@pytest.mark.parametrize(
    ("reach", "seed", "host", "kind"),
    [
        ("host", "http://x.test/", "https://x.test", "out_of_scope_by_scheme"),
        ("host", "http://x.test/", "http://www.x.test", "out_of_scope_by_scheme"),
        ("host", "http://www.x.test/", "https://x.test", "out_of_scope_by_scheme"),
        ("host", "http://x.test:81/", "https://x.test:81", "out_of_scope_by_scheme"),
        ("host", "http://x.test/", "http://x.test:81", "out_of_scope"),
        ("site", "http://x.test/", "http://y.test", "out_of_scope"),
        ("site", "http://x.test:81/", "https://www.x.test:81", "out_of_scope_by_scheme"),
        ("domain", "http://x.test/", "http://y.test", "out_of_scope"),
    ],
)
def test_the_reason_why_a_host_is_out_of_scope(
    reach: Literal["site", "host", "domain"], seed: str, host: str, kind: str
) -> None:
    scope = Scope(Rules(scope=reach), [seed])
    assert not scope.admits_host(host)
    assert scope.left_out(host) == kind
    scope.join("http://new.test")
    assert scope.left_out("https://www.new.test") == "out_of_scope_by_scheme"


@pytest.mark.parametrize("reach", ["host", "domain"])
def test_a_joining_host_brings_no_other_hosts(reach: Literal["host", "domain"]) -> None:
    scope = Scope(Rules(scope=reach), ["http://h.test/"])
    assert not scope.admits_host("https://www.new.test")
    scope.join("https://www.new.test")
    assert scope.admits_host("https://www.new.test")
    assert not scope.admits_host("https://other.new.test")


@pytest.mark.parametrize(
    ("rules", "start"),
    [
        (Rules(include=("fine", "a(")), "include: 'a(' is not a valid regular expression: "),
        (
            Rules(exclude=("a{99999999999999999999}",)),
            "exclude: 'a{99999999999999999999}' is not a valid regular expression: ",
        ),
    ],
)
def test_an_invalid_pattern_is_refused_in_one_line(rules: Rules, start: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(start)}[^\n]+$"):
        Scope(rules, [])
