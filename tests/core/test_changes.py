"""What counts as a change: the states of a URL in two generations, and the facts of two versions of a page."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.changes.page_facts import MOST_LINES, WHAT, PageFacts, differences, page_facts, text_diff
from crawler.core.changes.states import UrlChange, UrlState, change_of, saw_every_link, state_of, why_gone
from crawler.core.page.links import PageHeaders
from crawler.core.reasons import Ending, Reason

HERE = "http://a.test/folder/page"
HTML = PageHeaders("text/html; charset=utf-8")
TOP = "<title>One</title><header>banner</header><nav><a href=/menu>menu</a></nav>"
FOOT = "<footer>made at {}</footer>"


def facts(body: str | bytes, headers: PageHeaders = HTML, noindex: bool = False, status: int = 200) -> PageFacts:
    return page_facts(status, body.encode() if isinstance(body, str) else body, HERE, headers, noindex)


# ---- the facts of a page ---------------------------------------------------------------------------------------------


def test_a_clock_in_a_footer_is_no_change() -> None:
    one, two = (f"{TOP}<main><p>text</p></main>{FOOT.format(at)}" for at in ("12:00", "12:01"))
    assert differences(facts(one), facts(two)) == ()
    assert facts(one).main_text == "text"


@pytest.mark.parametrize(
    "aside", ["<nav>{}</nav>", "<aside>{}</aside>", "<div role=banner>{}</div>", "<p id=footer>{}"]
)
def test_what_stands_beside_the_content_is_no_change(aside: str) -> None:
    assert differences(facts(f"<p>text</p>{aside.format('x')}"), facts(f"<p>text</p>{aside.format('y')}")) == ()


def test_the_header_of_an_article_belongs_to_it() -> None:
    assert facts("<article><header>Heading</header><p>text</p></article>").main_text == "Heading\ntext"


def test_a_page_of_nothing_but_navigation_counts_as_a_whole() -> None:
    assert facts("<nav><p>one</p><p>two</p></nav>").main_text == "one\ntwo"


def test_boilerplate_inside_boilerplate_is_left_out() -> None:
    assert facts("<p>text</p><footer><nav>a<aside>b</aside></nav></footer>").main_text == "text"


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("<p>text", "<p>another", ("main_text",)),
        ("<p>text", "<p>text<p>appended", ("main_text",)),
        ("<p>a b", "<div>a\n  <b>b</b></div>", ()),
        ("<title>One</title>", "<title>Two</title>", ("title",)),
        ("<link rel=canonical href=/one>", "<link rel='x Canonical' href=/two>", ("canonical",)),
        ("<link rel=canonical href=/one>", "<link rel=canonical href=http://a.test/one>", ()),
        ("<p>a <a href=/one>x</a>", "<p>a <a href=/two>x</a>", ("outlinks",)),
        ("<a href=/1></a><a href=/2></a>", "<a href=/2></a><a href=/1></a><a href=/1></a>", ()),
        ("<p>a<title>One</title>", "<p>b<title>Two</title><a href=/x>", ("main_text", "title", "outlinks")),
        ("<!-- 1 --><p>a", "<!-- 2 --><p>a", ()),
    ],
)
def test_what_changed_is_named(before: str, after: str, what: tuple[str, ...]) -> None:
    assert differences(facts(before), facts(after)) == what


def test_status_and_noindex_are_compared() -> None:
    assert differences(facts("<p>a"), facts("<p>a", noindex=True)) == ("noindex",)
    assert differences(facts("<p>a"), facts("<p>a", status=203)) == ("status",)


def test_a_canonical_url_may_stand_in_a_header() -> None:
    header = PageHeaders("text/html", link=('</there>; rel="next", </here>; rel="canonical"',))
    assert facts("<p>a", header).canonical == "http://a.test/here"
    assert facts(b"%PDF", PageHeaders("application/pdf", link=("</x>; rel=canonical",))).canonical == "http://a.test/x"
    assert facts("<link rel=canonical href='mailto:a'>").canonical == ""
    assert facts("<link rel=icon href=/i><link rel=canonical href=/one>").canonical == "http://a.test/one"
    assert facts("<link rel=icon href=/i>").canonical == ""
    assert facts("<p>a", PageHeaders("text/html", link=("<mailto:a>; rel=canonical",))).canonical == ""


def test_other_text_is_compared_as_text_and_anything_else_by_its_digest() -> None:
    plain, image = PageHeaders("text/plain"), PageHeaders("image/png")
    assert differences(facts("a  b\n\nc", plain), facts("a b\nc", plain)) == ()
    assert differences(facts("a", plain), facts("b", plain)) == ("main_text",)
    assert differences(facts(b"\x89PNG1", image), facts(b"\x89PNG2", image)) == ("body",)
    assert facts(b"", image).body == b""


@given(
    st.binary(max_size=400), st.sampled_from([HTML, PageHeaders("text/plain"), PageHeaders("image/png"), PageHeaders()])
)
def test_the_facts_of_any_bytes_equal_themselves(body: bytes, headers: PageHeaders) -> None:
    assert differences(facts(body, headers), facts(body, headers)) == ()


@given(st.text(max_size=200), st.text(max_size=200))
def test_two_texts_differ_as_their_words_do(one: str, other: str) -> None:
    plain = PageHeaders("text/plain; charset=utf-8")
    found = differences(facts(one.encode("utf-8", "replace"), plain), facts(other.encode("utf-8", "replace"), plain))
    assert set(found) <= {"main_text", "body"}
    if one == other:
        assert not found


def test_every_fact_is_compared() -> None:
    assert sorted(WHAT) == sorted(PageFacts.__struct_fields__)


def test_the_diff_of_two_texts() -> None:
    lines = list(text_diff("one\ntwo\nthree", "one\n2\nthree", ("old", "new")))
    assert lines == ["--- old", "+++ new", "@@ -1,3 +1,3 @@", " one", "-two", "+2", " three"]
    assert list(text_diff("same", "same", ("old", "new"))) == []


def test_the_diff_of_long_texts_is_cut_and_says_so() -> None:
    long = "\n".join(map(str, range(MOST_LINES + 1)))
    assert list(text_diff(long, f"{long}x", ("a", "b"))) == [f"(only the first {MOST_LINES:,} lines are compared)"]


# ---- the states of a URL ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "status", "target", "state"),
    [
        (Reason.OK, 200, "", UrlState.PAGE),
        (Reason.REDIRECT, 301, "http://a.test/b", UrlState.MOVED),
        (Reason.CLIENT_ERROR, 404, "", UrlState.GONE),
        (Reason.CLIENT_ERROR, 410, "", UrlState.GONE),
        (Reason.ROBOTS, 0, "", UrlState.GONE),
        (Reason.CLIENT_ERROR, 403, "", UrlState.UNKNOWN),
        (Reason.SERVER_ERROR, 500, "", UrlState.UNKNOWN),
        (Reason.CONNECT, 0, "", UrlState.UNKNOWN),
        (Reason.DEEP_PATH, 0, "", UrlState.UNKNOWN),
    ],
)
def test_the_state_of_a_settled_url(reason: Reason, status: int, target: str, state: UrlState) -> None:
    assert state_of(reason, status, target) is state


PAGE, MOVED, GONE, UNKNOWN = UrlState.PAGE, UrlState.MOVED, UrlState.GONE, UrlState.UNKNOWN
NOTHING = None
TABLE = {
    (PAGE, PAGE): UrlChange.COMPARED,
    (PAGE, MOVED): UrlChange.MOVED,
    (PAGE, GONE): UrlChange.GONE,
    (PAGE, UNKNOWN): UrlChange.UNCERTAIN,
    (PAGE, NOTHING): UrlChange.GONE,
    (MOVED, PAGE): UrlChange.RETURNED,
    (MOVED, GONE): UrlChange.GONE,
    (MOVED, UNKNOWN): UrlChange.UNCERTAIN,
    (GONE, PAGE): UrlChange.NEW,
    (UNKNOWN, PAGE): UrlChange.NEW,
    (NOTHING, PAGE): UrlChange.NEW,
    (NOTHING, UNKNOWN): UrlChange.UNCERTAIN,
}
"""Every pair of states that is reported, where the later generation has read all links."""


@pytest.mark.parametrize(("before", "after"), [*product([*UrlState, None], repeat=2)])
def test_what_became_of_a_url(before: UrlState | None, after: UrlState | None) -> None:
    assert change_of(before, after, whole=True, retargeted=False) is TABLE.get((before, after))


def test_a_url_that_was_not_met_is_uncertain_where_links_are_missing() -> None:
    assert change_of(PAGE, None, whole=False, retargeted=False) is UrlChange.UNCERTAIN


def test_a_redirect_to_another_target_has_moved() -> None:
    assert change_of(MOVED, MOVED, whole=True, retargeted=True) is UrlChange.MOVED


@given(st.sampled_from([*UrlState, None]), st.sampled_from([*UrlState, None]), st.booleans())
def test_trouble_makes_nothing_gone_and_is_never_compared(
    before: UrlState | None, after: UrlState | None, whole: bool
) -> None:
    change = change_of(before, after, whole=whole, retargeted=False)
    if UNKNOWN in (before, after):
        assert change not in (UrlChange.GONE, UrlChange.COMPARED, UrlChange.MOVED)


def test_why_a_page_is_gone() -> None:
    assert why_gone(Reason.CLIENT_ERROR, 404) == "404"
    assert why_gone(Reason.CLIENT_ERROR, 410) == "410"
    assert why_gone(Reason.ROBOTS, 0) == "robots"


@pytest.mark.parametrize(
    ("ending", "because", "all_links"),
    [
        (Ending.COMPLETE, {}, True),
        (Ending.INCOMPLETE, {Reason.DEEP_PATH: 3, "links_cut": 2}, True),
        (Ending.INCOMPLETE, {Reason.SERVER_ERROR: 1}, False),
        (Ending.INCOMPLETE, {"truncated": 1}, False),
        (Ending.INCOMPLETE, {"unread": 1}, False),
        (Ending.LIMIT, {}, False),
        (Ending.STOPPED, {}, False),
        (Ending.FAILED, {Reason.CONNECT: 1}, False),
    ],
)
def test_only_a_generation_without_trouble_has_read_all_links(
    ending: Ending, because: dict[str, int], all_links: bool
) -> None:
    assert saw_every_link(ending, because) is all_links
