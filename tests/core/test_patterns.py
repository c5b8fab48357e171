"""The shape of a URL, the pattern that it shares with similar URLs, and the fingerprint of a text."""

from __future__ import annotations

import pytest

from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.urls.patterns import EXACT, check_shape, fingerprints, pattern_of
from tests.effort import effort

H = "http://h1.test"
RULES = Rules()


def reason(path: str, rules: Rules = RULES) -> Reason | None:
    refusal = check_shape(H + path, rules)
    return None if refusal is None else refusal[0]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a/b/c",
        "/a/a/b",
        "/a/b/a/b",
        "/a/a/b/b/a/a",
        "/11/11/11/11",
        "/tiles/0/0/0",
        "/" + "/".join(f"s{n}" for n in range(20)),
        "/" + "/".join(f"s{n}" for n in range(20)) + "/",
        "/?" + "&".join(f"k{n}=1" for n in range(20)),
        "/" + "a&b" * 30,
    ],
)
def test_shapes_of_ordinary_sites(path: str) -> None:
    assert reason(path) is None


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/" + "/".join(f"s{n}" for n in range(21)), Reason.DEEP_PATH),
        ("/a/a/a", Reason.REPEATED_PATH),
        ("/z/a/b/a/b/a/b", Reason.REPEATED_PATH),
        ("/a/b/a/b/a/b/z", Reason.REPEATED_PATH),
        ("/a/1/a/1/a/1/", Reason.REPEATED_PATH),
        ("/1//////2", Reason.REPEATED_PATH),
        ("/?" + "&".join(f"k{n}=1" for n in range(21)), Reason.MANY_KEYS),
        ("/?" + "n=1&" * 21, Reason.MANY_KEYS),
    ],
)
def test_shapes_of_endless_sites(path: str, why: Reason) -> None:
    assert reason(path) is why


def test_every_limit_of_shape_is_configurable() -> None:
    rules = Rules(max_path_segments=1000, max_path_repeats=1000, max_query_keys=1000)
    assert reason("/a" * 500 + "?" + "n=1&" * 500, rules) is None
    strict = Rules(max_path_segments=2, max_path_repeats=1, max_query_keys=1)
    assert [reason(path, strict) for path in ("/a/b", "/a/a", "/a/b/c", "/?a&b")] == [
        None,
        Reason.REPEATED_PATH,
        Reason.DEEP_PATH,
        Reason.MANY_KEYS,
    ]


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("/about/us.html", ""),
        ("/", ""),
        ("/?", ""),
        ("/product/17/reviews", "/product/0/reviews"),
        ("/2026/11/25/", "/0/0/0/"),
        ("/news/2026-nov/May", "/news/0-0/0"),
        ("/news/may", ""),
        ("/i/1b4e28ba-2fa1-11d2-883f-b9a761bde3fb", "/i/0"),
        ("/i/deadbeef01", "/i/0"),
        ("/i/aZ3kQ9x", "/i/0"),
        ("/i/deadbeef", ""),
        ("/python3/mp4", "/python0/mp0"),
        ("/cal?y=2026&m=11", "/cal?m&y"),
        ("/cal?m=2&y=1", "/cal?m&y"),
        ("/x?n=1&n=2&f[7]=a", "/x?f[0]&n"),
    ],
)
def test_patterns(url: str, pattern: str) -> None:
    assert pattern_of(H + url) == pattern


def test_two_texts_that_differ_in_numbers_and_ids_differ_in_one_fingerprint() -> None:
    may, june = fingerprints("May 2026, seen by deadbeef"), fingerprints("May 2027 - seen by cafe0123")
    assert may[0] != june[0]
    assert may[1] == june[1]
    assert fingerprints("May 2026")[1] != fingerprints("July 2026")[1]
    assert fingerprints("\ud800") != fingerprints("\ud801"), "undecodable text has a fingerprint, too"
    here = [fingerprints(f"{name} is not here", f"http://h.test/a/{name.lower()}") for name in ("Amber", "Birch")]
    assert here[0][0] != here[1][0]
    assert here[0][1] == here[1][1], "words of the URL are ignored"
    names = ("Cat", "Dog", "Bead")
    short = [fingerprints(f"{name} wins, {name}ging", f"http://h.test/pets/{name.lower()}") for name in names]
    assert len({loose for _, loose in short}) == 1, "also those of which few letters count"
    files = [fingerprints("A photo.", sources=[f"/img/{n}.jpg"]) for n in range(2)]
    assert files[0][0] != files[1][0]
    assert files[0][1] != files[1][1], "a new image name makes a difference"
    assert fingerprints("x" * EXACT + "y") == fingerprints("x" * EXACT + "z")


@pytest.mark.parametrize("unit", ["a", "1a", "a/", "abcdef12-", "aZ3k", "&n=1"])
def test_the_cost_is_linear_in_the_length_of_a_url(unit: str) -> None:
    def work(times: int) -> None:
        for n in range(50):
            check_shape(f"{H}/{n}?{unit * times}", RULES)
            check_shape(f"{H}/{n}/{unit * times}", RULES)
            pattern_of(f"{H}/{n}/{unit * times}?{unit * times}")

    _, few = effort(lambda: work(300))
    _, many = effort(lambda: work(3000))
    assert many < 40 * few + 10
