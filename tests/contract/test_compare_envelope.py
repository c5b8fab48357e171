"""The lower bound of a crawl: exact where it can be worked out by hand, and below what any crawl takes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from crawler.compare.envelope import least, longest_chain, stop
from crawler.testweb.document import ACCEPT, Answer, Document, answer_for
from crawler.testweb.flat import FlatWeb
from crawler.testweb.oracle import expected
from tests.contract import webs

HOST = "chain.test"


Pages = Mapping[str, tuple[tuple[float, ...], str]]


class Drawn:
    """One host whose pages are given: path -> (seconds of each attempt, links)."""

    scheme = "http"
    names = (HOST,)
    seeds = (f"http://{HOST}/",)

    def __init__(self, pages: Pages, rest: float = 0.0, robots: float = 0.0) -> None:
        self._pages, self._rest, self._robots = pages, rest, robots

    def document(self, host: str, path: str, attempt: int = 1) -> Document:
        if path == "/robots.txt":
            return Document(status=404, delay=self._robots)
        seconds, links = self._pages[path]
        if attempt < len(seconds):
            return Document(status=503, delay=seconds[attempt - 1], retry_after=1)
        return Document(delay=seconds[-1], links=tuple(f"http://{HOST}{link}" for link in links.split()))

    def answer(self, host: str, path: str, attempt: int = 1, accept: str = ACCEPT) -> Answer:
        return answer_for(self.document(host, path, attempt), accept)

    def allowed(self, host: str, path: str) -> bool:
        return True

    def is_robots(self, host: str, path: str) -> bool:
        return path == "/robots.txt"

    def crawl_delay(self, host: str) -> float:
        return self._rest

    def closed(self, host: str) -> bool:
        return False


DIAMOND = {"/": ((1.0,), "/slow /quick"), "/slow": ((5.0,), "/end"), "/quick": ((1.0,), "/end"), "/end": ((2.0,), "/")}


def test_each_page_is_reached_by_its_earliest_parent() -> None:
    web = Drawn(DIAMOND)
    assert least(web, expected(web), slots=100) == pytest.approx(6.0), "the root, then the slow page; the end is sooner"
    assert least(web, expected(web), slots=1) == pytest.approx(9.0), "one at a time: all of it"
    assert least(web, expected(web), slots=2) == pytest.approx(6.0)


def test_rules_retries_and_rests_are_waited_for() -> None:
    web = Drawn(DIAMOND, robots=0.5)
    assert least(web, expected(web), slots=100) == pytest.approx(6.5)
    failing = Drawn({"/": ((1.0,), "/again"), "/again": ((2.0, 3.0), "")})
    assert least(failing, expected(failing), slots=100) == pytest.approx(1 + 2 + 1 + 3), "Retry-After asks for 1 s"
    resting = Drawn(DIAMOND, rest=10.0)
    assert least(resting, expected(resting), slots=100) == pytest.approx(9.0 + 4 * 10), "robots.txt is a request, too"


def test_on_a_flat_web_it_is_littles_law() -> None:
    web = FlatWeb(1000, latency=0.05)
    assert least(web, expected(web), slots=10) == pytest.approx(1001 * 0.05 / 10)


def test_a_small_web_is_bound_by_its_longest_chain_if_slots_are_many() -> None:
    stops = {url: stop(webs.WEB, url, end.attempts) for url, end in webs.WHOLE.items()}
    chain = longest_chain(webs.WEB, stops)
    assert 0 < chain <= least(webs.WEB, webs.WHOLE, slots=10_000)
    assert least(webs.WEB, webs.WHOLE, slots=1) > least(webs.WEB, webs.WHOLE, slots=10_000)
