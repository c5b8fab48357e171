"""Which parts of URLs are learned to make no difference, and which are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crawler.core.traps.sameness import HYPOTHESES, KEYS, Sameness, difference

H = "http://h.test"
Url = Callable[[int, int], str]


@pytest.mark.parametrize(
    ("first", "second", "part"),
    [
        ("/a?x=1&y=2", "/a?y=2&x=1", ("order", f"{H}/", "")),
        ("/d/a?x=1&y=2", "/d/a?x=3&y=2", ("parameter", f"{H}/d/", "x")),
        ("/a?y=2", "/a?x=3&y=2", ("parameter", f"{H}/", "x")),
        ("/a", "/a?x=3", ("parameter", f"{H}/", "x")),
        ("/s-1/p?q", "/s-2/p?q", ("segment", f"{H}/", "")),
        ("/a/s-1/p", "/a/s-2/p", ("segment", f"{H}/a/", "")),
        ("/a;s=1/b", "/a;s=2/b", ("matrix", f"{H}/", "s")),
        ("/a?x=1&y=1", "/a?x=2&y=2", None),
        ("/a?x=1", "/b?x=2", None),
        ("/a/b", "/c/d", None),
        ("/a/b", "/a/b/c", None),
        ("/a?" + "&".join(map(str, range(30))), "/a", None),
        ("/a" * 30, "/b" * 30, None),
        ("/a" * 20 + "/x", "/a" * 20 + "/y", None),
        ("/a;x=1;y=1", "/a;x=2;y=2", None),
    ],
)
def test_the_difference_between_two_urls(first: str, second: str, part: object) -> None:
    assert difference(H + first, H + second) == part


def learn(same: Sameness, url: Url, pages: int, sessions: int, content: Url | None = None, new: bool = True) -> int:
    """Show so many pages under so many sessions each; returns how many URLs of a further session are skipped."""
    shown: dict[int, str] = {}
    for session in range(sessions):
        for page in range(pages):
            mark = hash(content(page, session)) if content else page + 1
            address = url(page, session * 100 + page)
            same.asked(address)
            if mark in shown and shown[mark] != address:
                same.compare(shown[mark], address, mark)
            shown.setdefault(mark, address)
            same.learn(address, mark, new)
    return sum(bool(same.skips(url(page, 10**6))) for page in range(pages))


FORMS: dict[str, Url] = {
    "segment": lambda page, session: f"{H}/s-{session}/page{page}",
    "middle": lambda page, session: f"{H}/a/{session}/page{page}?x=1",
    "parameter": lambda page, session: f"{H}/p?id={page}&s={session}",
    "other path": lambda page, session: f"{H}/p{page}?s={session}",
    "matrix": lambda page, session: f"{H}/p{page};s={session}/index;x",
    "matrix at the end": lambda page, session: f"{H}/p{page};s={session}",
}


@pytest.mark.parametrize("form", FORMS)
def test_session_ids_are_ignored_in_any_position(form: str) -> None:
    same = Sameness()
    assert learn(same, FORMS[form], 12, 4) == 12
    assert "made no difference in" in same.skips(FORMS[form](3, 10**7))


def test_that_the_order_of_parameters_makes_no_difference_is_learned_from_few_values() -> None:
    same = Sameness()
    forms = ("a=1&b={0}&c", "b={0}&a=1&c", "c&b={0}&a=1")
    assert learn(same, lambda page, session: f"{H}/p?{forms[session // 100 % 3].format(page)}", 12, 4) == 12
    assert "the order of the parameters in /" in same.skips(f"{H}/p?c&a=1&b=3")


@pytest.mark.parametrize(
    ("content", "new", "sessions"),
    [
        (lambda page, session: f"{page} {session}", True, 4),  # it matters
        (lambda page, session: f"{page} {session if page % 6 == 0 else 0}", True, 4),  # it matters sometimes
        (lambda page, session: "one", True, 4),  # there is only one page
        (lambda page, session: str(page), False, 4),  # no page links to new URLs
    ],
)
def test_nothing_is_skipped_without_evidence(content: Url, new: bool, sessions: int) -> None:
    assert learn(Sameness(), FORMS["segment"], 12, sessions, content, new) == 0


def test_few_values_may_be_versions_or_languages() -> None:
    same = Sameness()
    url: Url = lambda page, session: f"{H}/v{session // 100}/page{page}"  # noqa: E731
    assert learn(same, url, 40, 8) == 0


def test_a_rule_is_tested_and_dropped_when_it_is_wrong() -> None:
    same, url = Sameness(), FORMS["segment"]
    learn(same, url, 12, 4)
    skipped = [bool(same.skips(url(3, 2000 + n))) for n in range(64)]
    assert skipped.count(False) == 3, "number 16, 32 and 64, the 12 before among them"
    same.learn(url(3, 9999), 12345, True)
    assert not same.skips(url(3, 5000))
    learn(same, url, 12, 4)
    assert not same.skips(url(3, 5000)), "the rule is not used again"


def test_memory_is_bounded() -> None:
    same = Sameness()
    for n in range(3 * HYPOTHESES):
        same.compare(f"{H}/{n}/a?x=1", f"{H}/{n}/a?x=2", 1)
    assert len(same._hypotheses) == HYPOTHESES
    same, url = Sameness(), FORMS["segment"]
    learn(same, url, 12, 4)
    for n in range(KEYS + 50):
        same.asked(url(1000 + n, n))
        same.learn(url(1000 + n, n), n, True)
        assert not same.has_named(url(20_000 + n, n))
        assert same.has_named(url(20_000, 5))
    rule = next(rule for _, rule in same.rules())
    assert len(rule.contents) == len(rule.named) == KEYS


def test_rules_are_stored_and_candidates_are_not() -> None:
    same, url = Sameness(), FORMS["segment"]
    assert not same
    learn(same, url, 12, 1)
    same.compare(url(1, 1), url(1, 2), 2)
    assert same
    assert list(same.rules()) == []
    learn(same, url, 12, 4)
    again = Sameness()
    for _, rule in same.rules():
        again.recall(rule)
    assert again.skips(url(3, 77))
    assert not again.skips(url(99, 77))
    again.learn("http://k.test/x/y", 3, True)
    assert not again.skips("http://k.test/x/y"), "the rule belongs to another host"
