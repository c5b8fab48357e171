"""Google's test cases for robots.txt as data.

Source: robots_test.cc of https://github.com/google/robotstxt (Apache License 2.0), by the names of its tests. Omitted
are those that do not apply: line counts, sitemaps, the validity of a name, URLs without a path, and URLs that are not
canonical (the robots code never gets a "ツ" that is not percent-encoded).

Cases in DIFFERENT are decided differently here, each for a reason.
"""

from __future__ import annotations

import pytest

from crawler.core.page.robots import Robots, decode_robots

FOO = "user-agent: FooBot\n"
GROUPS = (
    "allow: /foo/bar/\n\nuser-agent: FooBot\ndisallow: /\nallow: /x/\nuser-agent: BarBot\ndisallow: /\nallow: /y/\n"
    "\n\nallow: /w/\nuser-agent: BazBot\n\nuser-agent: FooBot\nallow: /z/\ndisallow: /\n"
)
GLOBAL = "user-agent: *\nallow: /\nuser-agent: FooBot\ndisallow: /\n"
SPECIFIC = "user-agent: FooBot\nallow: /\nuser-agent: BarBot\ndisallow: /\nuser-agent: BazBot\ndisallow: /\n"
SECONDARY = "User-agent: *\nDisallow: /x/\nUser-agent: FooBot\nDisallow: /y/\n"
SPACED = "User-Agent: *\nDisallow: /\nUser-Agent: Foo Bar\nAllow: /x/\nDisallow: /\n"
INDEX = "User-Agent: *\nAllow: /allowed-slash/index.html\nDisallow: /\n"
ENDINGS = (
    "User-Agent: foo\nAllow: /some/path\nUser-Agent: bar\n\n\nDisallow: /\n",
    "User-Agent: foo\r\nAllow: /some/path\r\nUser-Agent: bar\r\n\r\n\r\nDisallow: /\r\n",
    "User-Agent: foo\rAllow: /some/path\rUser-Agent: bar\r\r\rDisallow: /\r",
    "User-Agent: foo\nAllow: /some/path\nUser-Agent: bar\n\n\nDisallow: /",
    "User-Agent: foo\nAllow: /some/path\r\nUser-Agent: bar\n\r\n\nDisallow: /",
)


def only(pattern: str) -> str:
    return f"{FOO}disallow: /\nallow: {pattern}\n"


# (name of the test, file, agent, path, allowed)
CASES: list[tuple[str, str, str, str, bool]] = [
    ("GoogleOnly_SystemTest", "", "FooBot", "/", True),
    ("GoogleOnly_SystemTest", FOO + "disallow: /\n", "", "/", True),
    ("GoogleOnly_SystemTest", "", "", "/", True),
    ("ID_LineSyntax_Line", FOO + "disallow: /\n", "FooBot", "/x/y", False),
    ("ID_LineSyntax_Line", "foo: FooBot\nbar: /\n", "FooBot", "/x/y", True),
    ("ID_LineSyntax_Line", "user-agent FooBot\ndisallow /\n", "FooBot", "/x/y", False),
    ("ID_LineSyntax_Groups", GROUPS, "FooBot", "/x/b", True),
    ("ID_LineSyntax_Groups", GROUPS, "FooBot", "/z/d", True),
    ("ID_LineSyntax_Groups", GROUPS, "FooBot", "/y/c", False),
    ("ID_LineSyntax_Groups", GROUPS, "BarBot", "/y/c", True),
    ("ID_LineSyntax_Groups", GROUPS, "BarBot", "/w/a", True),
    ("ID_LineSyntax_Groups", GROUPS, "BarBot", "/z/d", False),
    ("ID_LineSyntax_Groups", GROUPS, "BazBot", "/z/d", True),
    *(("ID_LineSyntax_Groups", GROUPS, agent, "/foo/bar/", False) for agent in ("FooBot", "BarBot", "BazBot")),
    *(
        ("ID_REPLineNamesCaseInsensitive", f"{agent}: FooBot\n{allow}: /x/\n{disallow}: /\n", "FooBot", path, allowed)
        for agent, allow, disallow in (
            ("USER-AGENT", "ALLOW", "DISALLOW"),
            ("user-agent", "allow", "disallow"),
            ("uSeR-aGeNt", "AlLoW", "dIsAlLoW"),
        )
        for path, allowed in (("/x/y", True), ("/a/b", False))
    ),
    *(
        ("ID_UserAgentValueCaseInsensitive", f"User-Agent: {name}\nAllow: /x/\nDisallow: /\n", agent, path, allowed)
        for name in ("FOO BAR", "foo bar", "FoO bAr")
        for agent in ("Foo", "foo")
        for path, allowed in (("/x/y", True), ("/a/b", False))
    ),
    ("GoogleOnly_AcceptUserAgentUpToFirstSpace", SPACED, "Foo", "/x/y", True),
    ("ID_GlobalGroups_Secondary", "", "FooBot", "/x/y", True),
    ("ID_GlobalGroups_Secondary", GLOBAL, "FooBot", "/x/y", False),
    ("ID_GlobalGroups_Secondary", GLOBAL, "BarBot", "/x/y", True),
    ("ID_GlobalGroups_Secondary", SPECIFIC, "QuxBot", "/x/y", True),
    ("ID_AllowDisallow_Value_CaseSensitive", FOO + "disallow: /x/\n", "FooBot", "/x/y", False),
    ("ID_AllowDisallow_Value_CaseSensitive", FOO + "disallow: /X/\n", "FooBot", "/x/y", True),
    ("ID_LongestMatch", FOO + "disallow: /x/page.html\nallow: /x/\n", "FooBot", "/x/page.html", False),
    ("ID_LongestMatch", FOO + "allow: /x/page.html\ndisallow: /x/\n", "FooBot", "/x/page.html", True),
    ("ID_LongestMatch", FOO + "allow: /x/page.html\ndisallow: /x/\n", "FooBot", "/x/", False),
    ("ID_LongestMatch", FOO + "disallow: \nallow: \n", "FooBot", "/x/page.html", True),
    ("ID_LongestMatch", FOO + "disallow: /\nallow: /\n", "FooBot", "/x/page.html", True),
    ("ID_LongestMatch", FOO + "disallow: /x\nallow: /x/\n", "FooBot", "/x", False),
    ("ID_LongestMatch", FOO + "disallow: /x\nallow: /x/\n", "FooBot", "/x/", True),
    ("ID_LongestMatch", FOO + "disallow: /x/page.html\nallow: /x/page.html\n", "FooBot", "/x/page.html", True),
    ("ID_LongestMatch", FOO + "allow: /page\ndisallow: /*.html\n", "FooBot", "/page.html", False),
    ("ID_LongestMatch", FOO + "allow: /page\ndisallow: /*.html\n", "FooBot", "/page", True),
    ("ID_LongestMatch", FOO + "allow: /x/page.\ndisallow: /*.html\n", "FooBot", "/x/page.html", True),
    ("ID_LongestMatch", FOO + "allow: /x/page.\ndisallow: /*.html\n", "FooBot", "/x/y.html", False),
    ("ID_LongestMatch", SECONDARY, "FooBot", "/x/page", True),
    ("ID_LongestMatch", SECONDARY, "FooBot", "/y/page", False),
    (
        "ID_Encoding",
        only("/foo/bar?qux=taz&baz=http://foo.bar?tar&par"),
        "FooBot",
        "/foo/bar?qux=taz&baz=http://foo.bar?tar&par",
        True,
    ),
    ("ID_Encoding", only("/foo/bar/ツ"), "FooBot", "/foo/bar/%E3%83%84", True),
    ("ID_Encoding", only("/foo/bar/%E3%83%84"), "FooBot", "/foo/bar/%E3%83%84", True),
    ("ID_Encoding", only("/foo/bar/%62%61%7A"), "FooBot", "/foo/bar/%62%61%7A", True),
    ("ID_SpecialCharacters", FOO + "disallow: /foo/bar/quz\nallow: /foo/*/qux\n", "FooBot", "/foo/bar/quz", False),
    *(
        ("ID_SpecialCharacters", FOO + "disallow: /foo/bar/quz\nallow: /foo/*/qux\n", "FooBot", path, True)
        for path in ("/foo/quz", "/foo//quz", "/foo/bax/quz")
    ),
    ("ID_SpecialCharacters", FOO + "disallow: /foo/bar$\nallow: /foo/bar/qux\n", "FooBot", "/foo/bar", False),
    *(
        ("ID_SpecialCharacters", FOO + "disallow: /foo/bar$\nallow: /foo/bar/qux\n", "FooBot", path, True)
        for path in ("/foo/bar/qux", "/foo/bar/", "/foo/bar/baz")
    ),
    *(
        ("ID_SpecialCharacters", FOO + "# disallow: /\ndisallow: /foo/quz#qux\nallow: /\n", "FooBot", path, allowed)
        for path, allowed in (("/foo/bar", True), ("/foo/quz", False))
    ),
    ("GoogleOnly_IndexHTMLisDirectory", INDEX, "foobot", "/allowed-slash/", True),
    ("GoogleOnly_IndexHTMLisDirectory", INDEX, "foobot", "/allowed-slash/index.htm", False),
    ("GoogleOnly_IndexHTMLisDirectory", INDEX, "foobot", "/allowed-slash/index.html", True),
    ("GoogleOnly_IndexHTMLisDirectory", INDEX, "foobot", "/anyother-url", False),
    ("GoogleOnly_LineTooLong", f"{FOO}disallow: /x/{'a' * 17_000}/qux\n", "FooBot", "/fux", True),
    ("GoogleOnly_LineTooLong", f"{FOO}disallow: /\nallow: /x/{'a' * 16_650}/qux\n", "FooBot", "/", False),
    (
        "GoogleOnly_LineTooLong",
        f"{FOO}disallow: /\nallow: /x/{'a' * 16_650}/qux\n",
        "FooBot",
        f"/x/{'a' * 16_650}/qux",
        True,
    ),
    *(
        ("GoogleOnly_DocumentationChecks", only(pattern), "FooBot", path, allowed)
        for pattern, allows, forbids in (
            *(
                (
                    pattern,
                    "/fish /fish.html /fish/salmon.html /fishheads /fishheads/yummy.html /fish.html?id=anything",
                    "/bar /Fish.asp /catfish /?id=fish",
                )
                for pattern in ("/fish", "/fish*")
            ),
            (
                "/fish/",
                "/fish/ /fish/salmon /fish/?salmon /fish/salmon.html /fish/?id=anything",
                "/bar /fish /fish.html /Fish/Salmon.html",
            ),
            (
                "/*.php",
                "/filename.php /folder/filename.php /folder/filename.php?parameters //folder/any.php.file.html"
                " /filename.php/ /index?f=filename.php/",
                "/bar /php/ /index?php /windows.PHP",
            ),
            (
                "/*.php$",
                "/filename.php /folder/filename.php",
                "/bar /filename.php?parameters /filename.php/ /filename.php5 /php/ /filename?php /aaaphpaaa"
                " //windows.PHP",
            ),
            ("/fish*.php", "/fish.php /fishheads/catfish.php?parameters", "/bar /Fish.PHP"),
        )
        for allowed, paths in ((True, allows), (False, forbids))
        for path in paths.split()
    ),
    ("GoogleOnly_DocumentationChecks", FOO + "allow: /p\ndisallow: /\n", "FooBot", "/page", True),
    ("GoogleOnly_DocumentationChecks", FOO + "allow: /folder\ndisallow: /folder\n", "FooBot", "/folder/page", True),
    ("GoogleOnly_DocumentationChecks", FOO + "allow: /page\ndisallow: /*.htm\n", "FooBot", "/page.htm", False),
    ("GoogleOnly_DocumentationChecks", FOO + "allow: /$\ndisallow: /\n", "FooBot", "/", True),
    ("GoogleOnly_DocumentationChecks", FOO + "allow: /$\ndisallow: /\n", "FooBot", "/page.html", False),
    *(
        ("ID_LinesNumbersAreCountedCorrectly", text, agent, "/x", allowed)
        for text in ENDINGS
        for agent, allowed in (("foo", True), ("bar", False))
    ),
    ("TestMaybeEscapePattern", FOO + "disallow: /á\n", "FooBot", "/%C3%A1", False),
    ("TestMaybeEscapePattern", FOO + "disallow: /%aa\n", "FooBot", "/%AA", False),
    ("TestGetPathParamsQuery", FOO + "disallow: /a/b?c=d&e=f\n", "FooBot", "/a/b?c=d&e=f", False),
    ("TestGetPathParamsQuery", FOO + "disallow: /a;b\n", "FooBot", "/a;b", False),
]

DIFFERENT: list[tuple[str, str, str, str, bool]] = [
    # RFC 9309 2.2.2: an escaped octet of the unreserved characters is unescaped before it is compared.
    ("ID_Encoding", only("/foo/bar/%62%61%7A"), "FooBot", "/foo/bar/baz", True),
    # RFC 9309 2.2.1: the product token is a part of the User-Agent, which is what we are given; Google is given a
    # token, and none has a space.
    ("GoogleOnly_AcceptUserAgentUpToFirstSpace", SPACED, "Foo Bar", "/x/y", True),
    # RFC 9309 has no maximum line length: text that Google cuts off after 16,664 bytes counts here.
    (
        "GoogleOnly_LineTooLong",
        f"{FOO}disallow: /x/{'a' * 17_000}/qux\n",
        "FooBot",
        f"/x/{'a' * 17_000}/fux",
        True,
    ),
]


@pytest.mark.parametrize(("name", "text", "agent", "path", "allowed"), [*CASES, *DIFFERENT])
def test_google(name: str, text: str, agent: str, path: str, allowed: bool) -> None:
    robots = Robots(decode_robots(text.encode(), 512_000), agent)
    assert robots.allows(f"http://foo.bar{path}") is allowed, name


@pytest.mark.parametrize(
    ("mark", "read"),
    [(b"\xef\xbb\xbf", True), (b"\xef\xbb", True), (b"\xef", True), (b"\xef\x11\xbf", False)],
)
def test_byte_order_marks(mark: bytes, read: bool) -> None:  # ID_UTF8ByteOrderMarkIsSkipped
    text = decode_robots(mark + b"User-Agent: foo\nDisallow: /AnyValue\n", 512_000)
    assert Robots(text, "foo").allows("http://foo.bar/AnyValue") is not read
    text = decode_robots(b"User-Agent: foo\n" + mark + b"Disallow: /AnyValue\n", 512_000)
    assert Robots(text, "foo").allows("http://foo.bar/AnyValue"), (
        "a byte order mark is recognised only at the start of a file"
    )
