"""Links that are found and not followed: how the crawl counts them, and that the counts add up."""

from __future__ import annotations

import msgspec
import pytest

from crawler.core.messages import Discovered
from crawler.core.reasons import NotFollowed, Reason
from crawler.metrics.counters import Tally
from tests.core.test_crawl import A, B, Driver, driver, started

C = "http://c.test"


def tally(one: Driver) -> dict[str, int]:
    return {str(kind): count for kind, count in one.frontier.tally().not_followed.items()}


def test_links_to_hosts_out_of_scope() -> None:
    one, (root,) = started(scope="host")
    secure = A.replace("http:", "https:")
    (page,) = one.answer(root, 200, f"{A}/x", f"{B}/", f"{B}/2", f"{secure}/")
    one.answer(page, 200, f"{B}/", not_followed=((NotFollowed.SCHEME, 3), (NotFollowed.NOFOLLOW, 1)))
    one.step()
    assert tally(one) == {"out_of_scope": 3, "out_of_scope_by_scheme": 1, "scheme": 3, "nofollow": 1}


def test_both_schemes_of_a_site_are_in_scope() -> None:
    one, (root,) = started("http://x.test/")
    found = one.answer(root, 200, "https://x.test/", "http://www.x.test/", "https://www.x.test/", "http://y.test/")
    assert len(found) == 3
    assert tally(one) == {"out_of_scope": 1}


@pytest.mark.parametrize("seed_first", [False, True])
def test_links_to_the_host_that_a_seed_redirects_to_are_subtracted_again(seed_first: bool) -> None:
    one, seeds = started(f"{A}/", f"{B}/")
    answers = [(seeds[0], 200, (f"{C}/1", f"{C}/2", "http://d.test/"), ""), (seeds[1], 301, (), f"{C}/")]
    for seed, status, links, location in reversed(answers) if seed_first else answers:
        one.answer(seed, status, *links, location=location)
    one.step()
    assert tally(one) == {"out_of_scope": 1}
    assert {link.url for link in one.queued} >= {f"{C}/", f"{C}/1", f"{C}/2"}


def test_redirects_count_as_links_do() -> None:
    one, seeds = started(f"{A}/", f"{A}/2", exclude=("^/no/",))
    (page,) = one.answer(seeds[0], 200, f"{A}/x")
    one.answer(seeds[1], 302, location=f"{A}/no/1")
    one.answer(page, 302, location=f"{B}/")
    one.step()
    assert tally(one) == {"excluded": 1, "out_of_scope": 1}


def test_a_filter_of_the_user_judges_links_and_redirects_but_no_seed() -> None:
    asked: list[str] = []

    def without_no(url: str) -> bool:
        asked.append(url)
        return "/no" not in url

    one = driver(f"{A}/no/seed", f"{A}/2", url_filter=without_no)
    seeds = one.step(Discovered((f"{A}/no/seed", f"{A}/2")))
    (page,) = one.answer(seeds[0], 200, f"{A}/no/1", f"{A}/x")
    one.answer(seeds[1], 302, location=f"{A}/no/2")
    one.answer(page, 302, location=f"{A}/y")
    one.step()
    assert tally(one) == {"excluded": 2}
    assert [link.url for link in one.queued] == [f"{A}/no/seed", f"{A}/2", f"{A}/x", f"{A}/y"]
    assert not {f"{A}/no/seed", f"{A}/2"} & set(asked)


def test_a_repeated_attempt_counts_once() -> None:
    one, (root,) = started()
    left = ((NotFollowed.ERROR_PAGE, 1),)
    (again,) = one.answer(root, 503, not_followed=left) or one.step(after=1000.0)
    (last,) = one.answer(again, 503, not_followed=left) or one.step(after=1000.0)
    one.answer(last, 503, not_followed=left)
    assert tally(one) == {"error_page": 1}


def test_a_redirect_without_a_valid_target_settles_as_such_though_its_body_is_truncated() -> None:
    one, (fetch,) = started(attempts=2)
    (fetch,) = one.answer(fetch, 302, truncated="disconnect") or one.step(after=1000.0)
    one.answer(fetch, 302, f"{A}/x", truncated="disconnect", part="p", position=1)
    end = one.settled[f"{A}/"]
    assert (end.reason, end.truncated, end.part) == (Reason.REDIRECT_INVALID, "disconnect", "p")
    assert [link.url for link in one.queued] == [f"{A}/", f"{A}/x"]


def test_tallies_of_shards_add_up_and_are_read_back() -> None:
    one, two = Tally(not_followed={"scheme": 2, "nofollow": 1}), Tally(not_followed={"scheme": 3})
    one.merge(two)
    one.add(0, (), 0, 0, 0, (), {NotFollowed.NOFOLLOW: -1, NotFollowed.OUT_OF_SCOPE: 4})
    assert one.not_followed == {"scheme": 5, "out_of_scope": 4}
    assert msgspec.json.decode(msgspec.json.encode(one), type=Tally) == one
