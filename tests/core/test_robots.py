"""robots.txt, read by a crawler named "us". Section numbers are those of RFC 9309."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.page.robots import (
    ALLOW_ALL,
    STARS_AT_ONCE,
    Robots,
    RobotsAnswer,
    classify,
    decode_robots,
    product_token,
)
from tests.effort import effort

AGENT = "Us/1.0 (+http://us.test)"


def allows(text: str, path: str, agent: str = AGENT) -> bool:
    return Robots(text, agent).allows(f"http://h.test{path}")


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, RobotsAnswer.RULES),
        (206, RobotsAnswer.RULES),
        (301, RobotsAnswer.REDIRECT),
        (308, RobotsAnswer.REDIRECT),
        (401, RobotsAnswer.ALLOW_ALL),
        (404, RobotsAnswer.ALLOW_ALL),
        (499, RobotsAnswer.ALLOW_ALL),
        (429, RobotsAnswer.UNAVAILABLE),
        (500, RobotsAnswer.UNAVAILABLE),
        (599, RobotsAnswer.UNAVAILABLE),
        (600, RobotsAnswer.UNAVAILABLE),
        (199, RobotsAnswer.UNAVAILABLE),
        (0, RobotsAnswer.UNAVAILABLE),
    ],
)
def test_access_results(status: int, answer: RobotsAnswer) -> None:  # 2.3.1
    assert classify(status) is answer


@pytest.mark.parametrize(
    ("body", "cap", "text"),
    [
        (b"a\nb", 100, "a\nb"),
        (b"\xef\xbb\xbfa", 100, "a"),
        (b"a\xffb", 100, "a\ufffdb"),
        (b"ab\ncd\n", 5, "ab\n"),
        (b"ab\rcd\r", 5, "ab\r"),
        (b"ab\ncd\n", 6, "ab\ncd\n"),
        (b"abcdef", 3, ""),
        (b"\xef\xbba", 100, "a"),
        (b"\xefa", 100, "a"),
        (b"\xbb\xbfa", 100, "\ufffd\ufffda"),
        (b"\xef\x11\xbfa", 100, "\x11\ufffda"),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", 100, "\ufeffa"),
        (b"\xef", 100, ""),
    ],
)
def test_decode(body: bytes, cap: int, text: str) -> None:
    assert decode_robots(body, cap) == text


@pytest.mark.parametrize(
    ("agent", "token"),
    [
        ("Us/1.0", "us"),
        ("my-bot_x (y)", "my-bot_x"),
        ("crawler4j", "crawler4j"),
        ("AB42bot/1.0", "ab42bot"),
        ("360Spider", "360spider"),
        ("007", ""),
        ("-_-", ""),
        ("", ""),
        ("é", ""),
    ],
)
def test_product_token(agent: str, token: str) -> None:  # 2.2.1
    assert product_token(agent) == token


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", True),
        ("user-agent: us\ndisallow: /", False),
        ("USER-AGENT: US/2.0 beta\nDISALLOW: /", False),
        ("user-agent: *\ndisallow: /", False),
        ("user-agent: * all of you\ndisallow: /", False),
        ("user-agent: uss\ndisallow: /", True),
        ("user-agent: u\ndisallow: /", True),
        ("user-agent: *us\ndisallow: /", True),
        ("user-agent: other us\ndisallow: /", True),
        ("user-agent:\ndisallow: /", True),
        ("disallow: /\nuser-agent: us", True),
        ("user-agent: us\nallow: /\nuser-agent: *\ndisallow: /", True),
        ("user-agent: *\ndisallow: /\nuser-agent: us\ndisallow:", True),
        ("user-agent: *\ndisallow: /\nuser-agent: us", True),
        ("user-agent: us\ndisallow: /a\nuser-agent: other\nallow: /\nuser-agent: us\ndisallow: /x", False),
        ("user-agent: us\nuser-agent: other\ndisallow: /", False),
        ("user-agent: us\n\nuser-agent: other\n\ndisallow: /", False),
        ("user-agent: us\ndisallow:\nuser-agent: other\ndisallow: /", True),
        ("user-agent: us\nsitemap: http://h.test/s\nuser-agent: other\ndisallow: /", False),
        ("user-agent: us\nunknown: 1\nuser-agent: other\ndisallow: /", False),
        ("user-agent: us\ncrawl-delay: 1\nuser-agent: other\ndisallow: /", False),
    ],
)
def test_groups(text: str, allowed: bool) -> None:  # 2.1, 2.2.1, 2.2.4
    assert allows(text, "/x") is allowed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("user-agent: us # us\r\ndisallow: / # all", False),
        ("user-agent: us\rdisallow: /\r", False),
        ("\ufeffuser-agent: us\ndisallow: /", False),
        ("  user-agent\t: us\n\tdisallow :/  ", False),
        ("useragent: us\ndissalow: /", False),
        ("user-agent us\ndisallow /", False),
        ("user-agent us\ndisallow all of /", True),
        ("user-agent: us\n# disallow: /", True),
        ("user-agent: us\ndisallow: x", True),
        ("user-agent: us\nallow: /a\u2028disallow: /", True),
        ("user-agent: us\u2028disallow: /", True),
        ("user-agent: us\ndisallow: /\ud800", True),
        ("<!DOCTYPE html><html><body>user-agent: * disallow: /</body></html>", True),
    ],
)
def test_lines(text: str, allowed: bool) -> None:  # 2.2
    assert allows(text, "/x") is allowed


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        # the example of section 5.1
        ("disallow: *.gif$\ndisallow: /example/\nallow: /publications/", "/publications/a.gif", True),
        ("disallow: *.gif$\ndisallow: /example/\nallow: /publications/", "/img/a.gif", False),
        ("disallow: *.gif$\ndisallow: /example/\nallow: /publications/", "/example/a", False),
        # the example of section 5.2: the longest match
        ("allow: /example/page/\ndisallow: /example/page/disallowed.gif", "/example/page/disallowed.gif", False),
        ("allow: /example/page/\ndisallow: /example/page/disallowed.gif", "/example/page/x", True),
        # 2.2.2: ties, case, octets
        ("disallow: /x\nallow: /x", "/x", True),
        ("disallow: /X", "/x", True),
        ("disallow: /foo/bar?baz=quz", "/foo/bar?baz=quz", False),
        ("disallow: /foo/bar/ツ", "/foo/bar/%E3%83%84", False),
        ("disallow: /foo/bar/%E3%83%84", "/foo/bar/%E3%83%84", False),
        ("disallow: /foo/bar/%62%61%7A", "/foo/bar/baz", False),
        ("disallow: /a%2fb", "/a/b", True),
        ("disallow: /a%2fb", "/a%2Fb", False),
        # 2.2.3: special characters
        ("disallow: /a*c", "/abbbc/d", False),
        ("disallow: /a***c", "/abc", False),
        ("disallow: /a*c", "/ab", True),
        ("disallow: /a$", "/a", False),
        ("disallow: /a$", "/ab", True),
        ("disallow: /a$b", "/a$b", False),
        ("disallow: /a%2A", "/abc", True),
        ("disallow: /a%2A", "/a*", False),
        ("disallow: /*?", "/a", True),
        ("disallow: /*?", "/a?", False),
        ("disallow: /a b", "/a%20b", False),
        ("disallow: /", "//a", False),
        # robots.txt itself
        ("disallow: /", "/robots.txt", True),
        ("disallow: /", "/robots.txt?x", True),
        ("disallow: /", "/a/robots.txt", False),
    ],
)
def test_rules(rules: str, path: str, allowed: bool) -> None:
    assert allows(f"user-agent: us\n{rules}\n", path) is allowed


def test_a_crawler_without_a_name_obeys_the_rules_for_all() -> None:
    text = "user-agent:\ndisallow: /a\nuser-agent: *\ndisallow: /b\n"
    assert allows(text, "/a", "007")
    assert not allows(text, "/b", "007")


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("", 0.0),
        ("user-agent: *\ncrawl-delay: 2.5", 2.5),
        ("user-agent: *\ncrawl-delay: 1000000000", 1e9),
        ("user-agent: *\ncrawl-delay: -5", 0.0),
        ("user-agent: *\ncrawl-delay: nan\ncrawl-delay: inf\ncrawl-delay: 1e999\ncrawl-delay: soon\ncrawl-delay:", 0.0),
        ("user-agent: *\ncrawl-delay: 2\nuser-agent: us\ncrawl-delay: 3 # s", 3.0),
        ("user-agent: *\ncrawl-delay: 2\ndisallow:\nuser-agent: us\ndisallow:", 0.0),
        ("crawl-delay: 2", 0.0),
    ],
)
def test_delay(text: str, delay: float) -> None:
    assert Robots(text, AGENT).delay == delay


def test_allow_all() -> None:
    assert ALLOW_ALL.allows("http://h.test/x")
    assert ALLOW_ALL.delay == 0.0


@pytest.mark.parametrize(
    ("line", "agent", "ours"),
    [
        ("AB42bot", "AB42bot/1.0", True),
        ("ab42BOT/2.0 beta", "AB42bot/1.0", True),
        ("AB", "AB42bot/1.0", False),
        ("AB42", "AB42bot/1.0", False),
        ("AB42bots", "AB42bot/1.0", False),
        ("AB43bot", "AB42bot/1.0", False),
        ("AB42bot", "AB/1.0", True),  # as in Google's parser: a name ends at its first digit
        ("AB42bot", "ABC/1.0", False),
        ("360Spider", "360Spider", True),
        ("361Spider", "360Spider", False),
    ],
)
def test_digits_in_a_product_token_count_where_our_name_has_digits(line: str, agent: str, ours: bool) -> None:  # 2.2.1
    assert allows(f"user-agent: {line}\ndisallow: /", "/x", agent) is not ours


@pytest.mark.parametrize("mark", [b"", b"\xef", b"\xef\xbb", b"\xef\xbb\xbf"])
def test_the_first_line_counts_after_a_partial_byte_order_mark(mark: bytes) -> None:
    text = decode_robots(mark + b"user-agent: us\ndisallow: /", 1000)
    assert not allows(text, "/x")


@pytest.mark.parametrize("rules", [10, STARS_AT_ONCE + 1, 3 * STARS_AT_ONCE])
def test_all_rules_are_used_however_many(rules: int) -> None:
    wildcards = "".join(f"disallow: /*-{number}$\n" for number in range(rules))
    robots = Robots(f"user-agent: us\n{wildcards}disallow: /*{'*a' * 5000}$\n", AGENT)
    assert not robots.allows("http://h.test/x-0")
    assert not robots.allows(f"http://h.test/x-{rules - 1}")
    assert robots.allows(f"http://h.test/x-{rules}")
    assert robots.effort == 1 + (rules + 1) // STARS_AT_ONCE


def test_a_file_with_many_wildcards_is_matched_in_bounded_time() -> None:
    for rule in ("/*{}", "/*aaaaaaaab{}", "/*a*a*a*a*b{}"):
        text = "user-agent: *\n" + "".join(f"disallow:{rule.format(number)}\n" for number in range(30_000))
        robots = Robots(decode_robots(text.encode(), 512_000), AGENT)
        allowed, units = effort(partial(robots.allows, "http://h.test/" + "a" * 2000))
        assert allowed and units < 500


@given(st.text(alphabet="user-agent: *us\nDisallow/$%#\r\u2028\ud8009.", max_size=80) | st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    robots = Robots(f"user-agent: *\ndisallow: {text}\n{text}", AGENT)
    assert robots.allows("http://h.test/robots.txt")
    assert isinstance(robots.allows("http://h.test/a%zz?b=/robots.txt"), bool)
    assert 0.0 <= robots.delay < float("inf")
