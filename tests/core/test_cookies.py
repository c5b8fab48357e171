"""The cookie jar: which cookies are sent with which request, how many are kept, and what is written to the frontier."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.core.hosts.cookies import IN_ALL, PER_HOME, SIZE_OF_HOME, Jar
from crawler.core.messages import Actions, Cookie, CookieNote, SetCookie

A = "https://a.example"


def put(jar: Jar, home: str, name: str = "n", value: str = "v", path: str = "/", lasts: float | None = None) -> None:
    jar.take([SetCookie(home, path, name, value, lasts)], 0.0)


def noted(jar: Jar) -> dict[str, tuple[Cookie, ...]]:
    actions = Actions()
    jar.drain_into(actions)
    return {note.home: note.cookies for note in actions.cookies}


@pytest.mark.parametrize(
    ("home", "url", "sent"),
    [
        (A, f"{A}/", True),
        (A, f"{A}/x?y=/", True),
        (A, "http://a.example/", False),  # another scheme, although the RFC allows it
        (A, f"{A}:8443/", False),
        (A, "https://sub.a.example/", False),
        (A, "https://b.example/", False),
        (A, "https://a.example.b.example/", False),
        (f"{A}:8443", f"{A}:8443/", True),
        (f"{A}:8443", f"{A}/", False),
        ("https://.a.example", f"{A}/", True),
        ("https://.a.example", "https://x.sub.a.example/", True),
        ("https://.a.example", f"{A}:8443/", True),
        ("https://.a.example", "http://a.example/", False),
        ("https://.a.example", "https://nota.example/", False),
        ("https://.a.example", "https://example/", False),
        ("http://[::1]:80", "http://[::1]:81/", False),
        ("http://[::1]:81", "http://[::1]:81/", True),
    ],
)
def test_a_cookie_is_sent_to_its_own_site_only(home: str, url: str, sent: bool) -> None:
    jar = Jar()
    put(jar, home)
    assert jar.header(url, 1.0) == ("n=v" if sent else "")


@pytest.mark.parametrize(
    ("path", "asked", "sent"),
    [
        ("/", "/anything", True),
        ("/foo", "/foo", True),
        ("/foo", "/foo/", True),
        ("/foo", "/foo/bar?q", True),
        ("/foo/", "/foo/bar", True),
        ("/foo/", "/foo", False),
        ("/foo", "/foobar", False),
        ("/foo", "/", False),
    ],
)
def test_a_cookie_is_sent_for_its_path(path: str, asked: str, sent: bool) -> None:
    jar = Jar()
    put(jar, A, path=path)
    assert jar.header(f"{A}{asked}", 0.0) == ("n=v" if sent else "")


def test_longer_paths_come_first_then_older_cookies_and_a_new_value_keeps_the_order() -> None:
    jar = Jar()
    for name, path in (("a", "/"), ("b", "/x"), ("c", "/"), ("", "/")):
        put(jar, A, name, "1", path)
    put(jar, A, "a", "2")
    assert jar.header(f"{A}/x", 0.0) == "b=1; a=2; c=1; 1"


def test_cookies_expire_or_are_deleted_and_both_are_recorded() -> None:
    jar = Jar()
    assert jar.header(f"{A}/", 0.0) == "" and noted(jar) == {}
    jar.take([SetCookie(A, "/", "short", "1", 10.0), SetCookie(A, "/", "long", "2")], 5.0)
    assert noted(jar) == {A: (Cookie("/", "short", "1", 15.0), Cookie("/", "long", "2"))}
    assert jar.header(f"{A}/", 14.9) == "short=1; long=2" and noted(jar) == {}
    assert jar.header(f"{A}/", 15.0) == "long=2"
    assert noted(jar) == {A: (Cookie("/", "long", "2"),)}
    put(jar, A, "long", lasts=0.0)
    put(jar, A, "never there", lasts=-1.0)
    assert jar.header(f"{A}/", 16.0) == "" and noted(jar) == {A: ()}


def test_stored_cookies_are_restored() -> None:
    jar = Jar()
    jar.load([CookieNote(A, (Cookie("/", "n", "v", 7.0), Cookie("/x", "m", "w")))])
    assert jar.header(f"{A}/x", 1.0) == "m=w; n=v" and noted(jar) == {}
    assert jar.header(f"{A}/x", 7.0) == "m=w"


def test_the_oldest_cookies_of_a_full_site_are_dropped_and_counted() -> None:
    jar = Jar()
    put(jar, "https://other.example", "mine")
    for number in range(PER_HOME + 20):
        put(jar, A, f"c{number}")
    sent = jar.header(f"{A}/", 0.0).split("; ")
    assert len(sent) == PER_HOME and sent[0] == "c20=v" and sent[-1] == f"c{PER_HOME + 19}=v"
    actions = Actions()
    jar.drain_into(actions)
    assert actions.cookies_dropped == 20
    assert jar.header("https://other.example/", 0.0) == "mine=v"


def test_the_cookies_of_a_site_fit_into_a_request_head() -> None:
    jar = Jar()
    for number in range(9):
        put(jar, A, f"c{number}", "v" * 4000)
    assert [one[:2] for one in jar.header(f"{A}/", 0.0).split("; ")] == ["c5", "c6", "c7", "c8"]
    put(jar, A, "c8", "short")
    put(jar, A, "c9", "v" * 4000)
    assert [one[:2] for one in jar.header(f"{A}/", 0.0).split("; ")] == ["c5", "c6", "c7", "c8", "c9"]
    actions = Actions()
    jar.drain_into(actions)
    assert actions.cookies_dropped == 5 and len(jar.header(f"{A}/", 0.0)) <= SIZE_OF_HOME


def test_the_oldest_site_of_a_full_jar_is_dropped() -> None:
    jar = Jar()
    homes = [f"https://h{number}.example" for number in range(IN_ALL + 5)]
    for home in homes:
        put(jar, home)
    kept = [home for home in homes if jar.header(f"{home}/", 0.0)]
    assert kept == homes[5:]
    assert [home for home, cookies in noted(jar).items() if not cookies] == homes[:5]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from([None, 0.0, 5.0]))))
def test_a_new_jar_is_restored_from_the_recorded_notes(steps: list[tuple[str, str, float | None]]) -> None:
    jar, kept = Jar(), dict[str, tuple[Cookie, ...]]()
    for at, (host, name, lasts) in enumerate(steps):
        jar.take([SetCookie(f"https://{host}.example", "/", name, str(at), lasts)], float(at))
        kept |= noted(jar)
    again = Jar()
    again.load(CookieNote(home, cookies) for home, cookies in kept.items())
    for host in "abc":
        url = f"https://{host}.example/"
        assert again.header(url, float(len(steps))) == jar.header(url, float(len(steps)))
