"""robots.txt as RFC 9309 defines it.

Rules:
- A group begins with user-agent lines and ends at the first user-agent line after a rule. Only allow and disallow are
  rules: every other record, Crawl-delay too, leaves groups as they are (2.2.4).
- We obey the groups that name our product token exactly, in any case, all of them together; else those for "*"; else
  nothing is forbidden (2.2.1). The match with the most octets wins, allow wins a tie, /robots.txt itself is always
  allowed (2.2.2).
- A product token has letters, "_" and "-" in RFC 9309, but many crawlers have digits in theirs. Ours is the word that
  the User-Agent begins with, digits included ("AB42bot"), and a group must name it with its digits. Where ours has no
  digit, a name in the file ends at its first digit, as in Google's parser: "Us2" names "us".
- A BOM is no part of the text, nor are the first one or two bytes of one: as in Google's parser the first line counts.
- Sitemap lines belong to no group and leave groups as they are (2.2.4).
- `classify` decides what a response to the request for robots.txt means (2.3.1).

Protego matches the patterns. The file is parsed here, because Protego would also end lines at U+2028, end groups at
unknown records and match tokens inside other words. The file is untrusted, but no rule is left out: patterns are
matched in linear time, and a file of 500 KiB holds some 30,000 rules with a wildcard at most: 15 ms for a common URL, a
quarter of a second for a file and a URL made to be slow. A crawl counts `effort` so as to refuse fewer such URLs in one
step.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from enum import Enum
from urllib.parse import quote

from protego import Protego

from crawler.core.urls.canonical import path_of

STARS_AT_ONCE = 2_000
"""Rules with wildcards in one unit of `Robots.effort`: about a millisecond for a common URL."""

_BOM = b"\xef\xbb\xbf"
_BLANK = " \t\v\f"
_NAME = f"{string.ascii_letters}_-"
_WORD = f"{_NAME}{string.digits}"
_UNSAFE = re.compile(r"[^\x21-\x7e]+")  # would end a line or a word in Protego
_PLAIN = re.compile(r"[!-)+-~]*").fullmatch
_STARS = re.compile(r"\*+")
_SITEMAP = re.compile(r"[ \t\v\f]*site-?map[ \t\v\f]*:([^#\r\n]*)", re.IGNORECASE)
_KEYS = {
    "user-agent": "user-agent",
    "useragent": "user-agent",
    "user agent": "user-agent",
    "allow": "allow",
    "disallow": "disallow",
    "dissallow": "disallow",
    "dissalow": "disallow",
    "disalow": "disallow",
    "diasllow": "disallow",
    "disallaw": "disallow",
    "crawl-delay": "crawl-delay",
}


class RobotsAnswer(Enum):
    """What a response to the request for a robots.txt means."""

    RULES = "rules"
    ALLOW_ALL = "allow_all"
    REDIRECT = "redirect"
    UNAVAILABLE = "unavailable"


def classify(status: int) -> RobotsAnswer:
    """What a status means by RFC 9309 2.3.1: no file allows everything; a host in trouble (429 too) allows nothing
    until it can be asked."""
    if 200 <= status < 300:
        return RobotsAnswer.RULES
    if 300 <= status < 400:
        return RobotsAnswer.REDIRECT
    if 400 <= status < 500 and status != 429:
        return RobotsAnswer.ALLOW_ALL
    return RobotsAnswer.UNAVAILABLE


def decode_robots(body: bytes, cap: int) -> str:
    """The text of a robots.txt: UTF-8 without BOM, invalid bytes as U+FFFD, cut after the last whole line in `cap`
    bytes."""
    if len(body) > cap:
        body = body[:cap]
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    mark = next((size for size in (3, 2, 1) if body.startswith(_BOM[:size])), 0)
    return body[mark:].decode("utf-8", "replace")


def product_token(user_agent: str) -> str:
    """The name by which robots.txt addresses us: the leading letters, digits, "_" and "-" of a User-Agent, in lower
    case; "" where there is no letter among them."""
    word = _leading(user_agent, _WORD)
    return word if word.strip("_-0123456789") else ""


def _leading(text: str, letters: str) -> str:
    return text[: len(text) - len(text.lstrip(letters))].lower()


def sitemap_lines(text: str) -> Iterator[str]:
    """The value of every Sitemap line of a robots.txt, as written; they are for all crawlers."""
    for line in text.removeprefix("\ufeff").replace("\r", "\n").split("\n"):
        named = _SITEMAP.match(line)
        if named is not None and (value := named[1].strip(_BLANK)):
            yield value


class Robots:
    """The rules of a robots.txt for us: what may be asked for, and `delay` in seconds (finite, uncapped, 0.0: none).

    `effort` counts the wildcards that a question has to try, in units of STARS_AT_ONCE; 1 for nearly all files.
    """

    def __init__(self, text: str, user_agent: str) -> None:
        records = list(_records(text))
        ours = _group(records, product_token(user_agent))
        group = _group(records, "*") if ours is None else ours
        lines = list(_plain(group or []))
        self._rules = Protego.parse("\n".join(["user-agent:*", *lines]))
        self.effort = 1 + sum("*" in line for line in lines) // STARS_AT_ONCE
        self.delay = self._rules.crawl_delay("*") or 0.0

    def allows(self, url: str) -> bool:
        """Whether we may ask for a canonical URL of this host."""
        return path_of(url) == "/robots.txt" or self._rules.can_fetch(url, "*")


def _records(text: str) -> Iterator[tuple[str, str]]:
    """The (key, value) of every line that we know, with misspelled keys and missing colons repaired."""
    for line in text.removeprefix("\ufeff").replace("\r", "\n").split("\n"):
        record = line.partition("#")[0]
        key, colon, value = record.partition(":")
        if not colon:
            words = record.split()
            key, value = words if len(words) == 2 else ("", "")
        known = _KEYS.get(key.strip(_BLANK).lower())
        if known is not None:
            yield known, value.strip(_BLANK)


def _group(records: Iterable[tuple[str, str]], agent: str) -> list[str] | None:
    """The rules and delays, "key:value", of all groups that name `agent`, None where none does."""
    found: list[str] = []
    ever = named = closed = False
    for key, value in records:
        if key == "user-agent":
            named = _names(value, agent) or (named and not closed)
            ever, closed = ever or named, False
        else:
            closed = closed or key != "crawl-delay"
            if named:
                found.append(f"{key}:{value}")
    return found if ever else None


def _names(value: str, agent: str) -> bool:
    if value.split()[:1] == ["*"]:
        return agent == "*"
    letters = _WORD if any(letter.isdigit() for letter in agent) else _NAME
    return agent != "" and agent == _leading(value, letters)


def _plain(group: list[str]) -> Iterator[str]:
    """The lines of a group in plain ASCII, without repetitions."""
    for record in dict.fromkeys(group):
        if _PLAIN(record):  # almost all are, and a file may hold 20,000
            yield record
            continue
        key, _, value = record.partition(":")
        yield f"{key}:{_STARS.sub('*', _UNSAFE.sub(lambda run: quote(run[0], errors='replace'), value))}"


ALLOW_ALL = Robots("", "")
"""What holds where there is no robots.txt."""
