"""Links are respelled where that cannot lead to another page, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.rules import Rules
from crawler.core.urls.canonical import canonical
from crawler.core.urls.normalization import normalize, normalizer
from tests.effort import effort

H = "http://h.test"
UUID = "1b4e28ba-2fa1-11d2-883f-b9a761bde3fb"


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("/%7Euser/%61%2D%2e.html?q=%7E", "/~user/a-..html?q=%7E"),
        ("/%7Eme?", "/~me?"),
    ],
)
def test_needless_escapes_are_undone(url: str, ours: str) -> None:
    assert normalize(H + url) == H + ours


@pytest.mark.parametrize(
    "url",
    [
        "/",
        "/?",
        "/?&a",
        "/a;b",
        "/p;jsessionid=0A1B.node1",
        "/?PHPSESSID=abc",
        "/story?sid=100000001",
        f"/?session_id={UUID}",
        "/?a=1&CFID=1&CFTOKEN=2",
        "/A//b/",
        "/%2F%25%C3%A9?%41",
        "/%2561",
    ],
)
def test_what_may_matter_stays_whatever_it_is_called(url: str) -> None:
    assert normalize(H + url) == H + url


@given(st.text(alphabet="/;?&=%aA1s2d67eE.~", max_size=40), st.sampled_from(["", "?sid=a3f9bc21", ";jsessionid=1"]))
def test_it_is_canonical_and_the_same_when_done_again(path: str, session: str) -> None:
    url = canonical(f"{H}/{path}{session}")
    assert url is not None
    ours = normalize(url)
    assert canonical(ours) == ours == normalize(ours)
    assert len(ours) <= len(url)


@pytest.mark.parametrize("unit", ["a1", "sid=a1&", "%61", ";", "a" * 8, "1234-"])
def test_long_urls_cost_what_their_length_costs(unit: str) -> None:
    short, long = ([f"{H}/{unit * n};sid={unit * n}?sid={unit * n}!"] for n in (500, 5000))
    _, few = effort(lambda: [normalize(url) for url in short * 100])
    _, many = effort(lambda: [normalize(url) for url in long * 100])
    assert many < 40 * few + 10


def test_rules_say_whether_links_are_respelled() -> None:
    url = "http://a.test/%78"
    assert [normalizer(Rules(respell=wanted))(url) for wanted in (True, False)] == ["http://a.test/x", url]
