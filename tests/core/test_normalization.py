"""Links are normalised where that cannot lead to another page, and nowhere else."""

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
def test_unnecessary_escapes_are_decoded(url: str, ours: str) -> None:
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
def test_parameters_that_may_matter_are_kept_whatever_their_name(url: str) -> None:
    assert normalize(H + url) == H + url


@given(st.text(alphabet="/;?&=%aA1s2d67eE.~", max_size=40), st.sampled_from(["", "?sid=a3f9bc21", ";jsessionid=1"]))
def test_normalisation_is_canonical_and_idempotent(path: str, session: str) -> None:
    url = canonical(f"{H}/{path}{session}")
    assert url is not None
    ours = normalize(url)
    assert canonical(ours) == ours == normalize(ours)
    assert len(ours) <= len(url)


@pytest.mark.parametrize("unit", ["a1", "sid=a1&", "%61", ";", "a" * 8, "1234-"])
def test_the_cost_is_linear_in_the_length_of_a_url(unit: str) -> None:
    short, long = ([f"{H}/{unit * n};sid={unit * n}?sid={unit * n}!"] for n in (500, 5000))
    _, few = effort(lambda: [normalize(url) for url in short * 100])
    _, many = effort(lambda: [normalize(url) for url in long * 100])
    assert many < 40 * few + 10


def test_normalisation_can_be_switched_off() -> None:
    url = "http://a.test/%78"
    assert [normalizer(Rules(respell=wanted))(url) for wanted in (True, False)] == ["http://a.test/x", url]
