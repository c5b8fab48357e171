"""robots.txt as RFC 9309 means it.

Rules:
- A group begins with user-agent lines and ends at the first user-agent line after a rule. Only allow and disallow are
  rules: every other record, Crawl-delay too, leaves groups as they are (2.2.4).
- We obey the groups that name our product token exactly, in any case, all of them together; else those for "*"; else
  nothing is forbidden (2.2.1). The most octets win, allow wins a tie, /robots.txt itself is always allowed (2.2.2).
- What an answer to the request for robots.txt means is `classify` (2.3.1).

Protego matches the patterns. What it reads is written here, because it would also end lines at U+2028, end groups at
unknown records and match tokens inside other words. Strangers write these files, so one match may cost milliseconds at
most: `MOST_STARS` bounds the wildcards, 500 KiB bound the rest.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from enum import Enum
from urllib.parse import quote

from protego import Protego

from crawler.core.urls import path_of

MOST_STARS = 2_000

_BLANK = " \t\v\f"
_NAME = f"{string.ascii_letters}_-"
_UNSAFE = re.compile(r"[^\x21-\x7e]+")  # would end a line in Protego, or a word
_PLAIN = re.compile(r"[!-)+-~]*").fullmatch
_STARS = re.compile(r"\*+")
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
    """RFC 9309 2.3.1: no file allows everything; a host in trouble (429 too) allows nothing until it can be asked."""
    if 200 <= status < 300:
        return RobotsAnswer.RULES
    if 300 <= status < 400:
        return RobotsAnswer.REDIRECT
    if 400 <= status < 500 and status != 429:
        return RobotsAnswer.ALLOW_ALL
    return RobotsAnswer.UNAVAILABLE


def decode_robots(body: bytes, cap: int) -> str:
    """The text of a robots.txt: UTF-8 without BOM, damage as U+FFFD, cut after the last whole line in `cap` bytes."""
    if len(body) > cap:
        body = body[:cap]
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    return body.decode("utf-8-sig", "replace")


def product_token(user_agent: str) -> str:
    """The name that robots.txt calls us by: the leading letters, "_" and "-" of a User-Agent, in lower case."""
    return user_agent[: len(user_agent) - len(user_agent.lstrip(_NAME))].lower()


class Robots:
    """What a robots.txt asks of us: what may be asked for, and `delay` in seconds (finite, uncapped, 0.0: none)."""

    def __init__(self, text: str, user_agent: str) -> None:
        records = list(_records(text))
        ours = _group(records, product_token(user_agent))
        group = _group(records, "*") if ours is None else ours
        self._rules = Protego.parse("\n".join(["user-agent:*", *_bounded(group or [])]))
        self.delay = self._rules.crawl_delay("*") or 0.0

    def allows(self, url: str) -> bool:
        """Whether we may ask for a canonical URL of this host."""
        return path_of(url) == "/robots.txt" or self._rules.can_fetch(url, "*")


def _records(text: str) -> Iterator[tuple[str, str]]:
    """The (key, value) of every line that we know, with misspellings and forgotten colons mended."""
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
    return agent != "" and agent == product_token(value)


def _bounded(group: list[str]) -> Iterator[str]:
    """The lines of a group in plain ASCII, repetitions and wildcards beyond MOST_STARS left out."""
    stars = 0
    for record in dict.fromkeys(group):
        if _PLAIN(record):  # as almost all are, and a file may hold 20,000
            yield record
            continue
        key, _, value = record.partition(":")
        pattern = _STARS.sub("*", _UNSAFE.sub(lambda run: quote(run[0], errors="replace"), value))
        stars += pattern.count("*")
        if "*" not in pattern or stars <= MOST_STARS:
            yield f"{key}:{pattern}"


ALLOW_ALL = Robots("", "")
"""What holds where there is no robots.txt."""
