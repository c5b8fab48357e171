"""How a crawl ends, what each reason of a URL means for that, and why it pauses. Pure: counts go in, words come out.

Rules:
- `complete`: no URL is owed and nothing was missed. `incomplete`: none is owed, something was missed. `failed`: none is
  owed, no page is stored and no seed answered 2xx or 3xx. `limit` and `stopped`: URLs are owed, and why the run ended.
- Missed is what was in scope and not seen as the site has it: URLs that ended in trouble, URLs that a brake ended,
  pages stored in part, pages whose links were not read, links that were cut.
- An answer is never missed, whatever it is: 404, a refusal of robots.txt, a redirect that leads nowhere.
- `too_deep` is what the user asked for and makes nothing incomplete.
- This table is the only one. What a resume asks again, the condition `errors` of `fail_on` and the list in the README
  follow from it. A reason that is not in it (of a newer version) counts as missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from crawler.core.reasons import Ending, Pause, Reason

PAUSES: dict[str, str] = {
    Pause.USER: "it was paused, resume it to go on",
    Pause.OUTAGE: "the network seems to be away",
    Pause.DISK: "the disk is full or nearly full",
    Pause.LOCKED: "another program has locked the frontier",
    Pause.STARVED: "its process has no file descriptor left",
    Pause.MEMORY: "memory is short, so fewer fetches are in flight",
    Pause.SERVER: "the database or the object store does not answer",
}
"""Why no fetch begins, for people."""


class Meaning(Enum):
    """What the reason of a URL means for the crawl: the site has answered; something went wrong, so a resume asks
    again; a limit of ours cut it off, so it is asked again on request only."""

    ANSWER = "answer"
    TROUBLE = "trouble"
    LIMIT = "limit"


class Entry(NamedTuple):
    """One line of the table: the meaning, and a sentence for people."""

    meaning: Meaning
    sentence: str


def _answer(sentence: str) -> Entry:
    return Entry(Meaning.ANSWER, sentence)


def _trouble(sentence: str) -> Entry:
    return Entry(Meaning.TROUBLE, sentence)


def _limit(sentence: str) -> Entry:
    return Entry(Meaning.LIMIT, sentence)


REASONS: dict[Reason, Entry] = {
    Reason.OK: _answer("The page was fetched."),
    Reason.REDIRECT: _answer("It redirects; the target is a URL of its own."),
    Reason.REDIRECT_LOOP: _answer("It redirects to itself, directly or by way of others."),
    Reason.REDIRECT_INVALID: _answer("It redirects, but not to a valid URL."),
    Reason.CLIENT_ERROR: _answer("The server refused it (4xx but for 408 and 429)."),
    Reason.OTHER_STATUS: _answer("The status has no page (1xx, 304 and the like)."),
    Reason.BLOCKED: _answer("Its address is private and not allowed, or its port belongs to another protocol."),
    Reason.ROBOTS: _answer("robots.txt forbids it."),
    Reason.DNS: _trouble("The name of the host was not found."),
    Reason.CONNECT: _trouble("No connection could be made."),
    Reason.TLS: _trouble("The certificate was refused, or the TLS handshake failed."),
    Reason.TIMEOUT: _trouble("No response came in time, or the status was 408."),
    Reason.DISCONNECT: _trouble("The connection closed before the response was complete."),
    Reason.PROTOCOL: _trouble("The response was not valid HTTP."),
    Reason.ENCODING: _trouble("The body could not be decoded."),
    Reason.STARVED: _trouble("This machine ran out of file descriptors, threads or memory."),
    Reason.INTERNAL: _trouble("An unexpected error in the crawler (a bug)."),
    Reason.POISON: _trouble("Several workers crashed or hung while they fetched it."),
    Reason.SERVER_ERROR: _trouble("The last status was 5xx."),
    Reason.RATE_LIMITED: _trouble("The last status was 429: too many requests."),
    Reason.HELD: _trouble("Its host asked for a pause longer than `max_hold`."),
    Reason.HOST_DOWN: _trouble("Its host was down for too long and was given up."),
    Reason.ROBOTS_UNAVAILABLE: _trouble(
        "robots.txt of its host could not be fetched, so nothing may be fetched there."
    ),
    Reason.REDIRECT_LIMIT: _limit("More redirects in a row than `max_redirects`."),
    Reason.DEEP_PATH: _limit("More path segments than `max_path_segments`."),
    Reason.REPEATED_PATH: _limit("Segments of the path repeat more often than `max_path_repeats`."),
    Reason.MANY_KEYS: _limit("More keys in the query than `max_query_keys`."),
    Reason.REPEATED_PAGES: _limit("Only pages without new content link to it, or all hosts of its domain are alike."),
    Reason.SAME_PAGES: _limit("Samples show that its page is already stored under another URL."),
    Reason.ENDLESS: _limit("The site makes up URLs like it without end, and they bring nothing new."),
    Reason.DOMAIN_LIMIT: _limit("The hosts of its registrable domain have more pages than `max_domain_pages`."),
    Reason.HOST_LIMIT: _limit("Its host has more pages than `max_host_pages`."),
}
TRUNCATED, UNREAD, LINKS_CUT = "truncated", "unread", "links_cut"
COUNTS: dict[str, Entry] = {
    TRUNCATED: _trouble("Pages stored in part: the connection ended or took too long, or `max_body` was reached."),
    UNREAD: _trouble(
        "Pages stored without their links: parsing took too much time or memory, or crashed; sitemaps that were not"
        " read to their end."
    ),
    LINKS_CUT: _limit("Links that were dropped: beyond `max_links` of a page or `max_url_length`."),
}
"""What is counted beside the reasons and is missed, too, also of URLs that ended `ok`."""
TROUBLES = frozenset(reason for reason, entry in REASONS.items() if entry.meaning is Meaning.TROUBLE)
ANSWERS = frozenset(reason.value for reason, entry in REASONS.items() if entry.meaning is Meaning.ANSWER)
NOT_ASKED = frozenset({Reason.ROBOTS}).union(
    reason for reason, entry in REASONS.items() if entry.meaning is Meaning.LIMIT and reason != Reason.REDIRECT_LIMIT
)
"""The reasons of URLs that ended before they were asked for, without trouble."""


class Conclusion(NamedTuple):
    """How a crawl ended, and what it missed: counts by reason, largest first."""

    ending: Ending
    because: dict[str, int]


def conclude(
    ran: Ending,
    *,
    owed: int,
    pages: int,
    seeds_answered: int,
    reasons: Mapping[str, int],
    counts: Mapping[str, int],
) -> Conclusion:
    """Judge a crawl from the state of its directory. `ran` is how its last run ended, `owed` the URLs that are left,
    `seeds_answered` how many seeds answered 2xx or 3xx; `counts` has the numbers of COUNTS."""
    because = missed(reasons, counts)
    if owed:
        return Conclusion(Ending.LIMIT if ran is Ending.LIMIT else Ending.STOPPED, because)
    if not pages and not seeds_answered:
        return Conclusion(Ending.FAILED, because)
    return Conclusion(Ending.INCOMPLETE if because else Ending.COMPLETE, because)


def missed(reasons: Mapping[str, int], counts: Mapping[str, int]) -> dict[str, int]:
    """What was missed, by reason, largest first; equal counts by name."""
    found = [(name, count) for name, count in (*reasons.items(), *counts.items()) if name not in ANSWERS and count > 0]
    return dict(sorted(found, key=lambda pair: (-pair[1], pair[0])))


def errors(reasons: Mapping[str, int]) -> int:
    """How many URLs ended in trouble."""
    return sum(reasons.get(reason.value, 0) for reason in TROUBLES)


def asked(reasons: Mapping[str, int]) -> int:
    """How many URLs were asked for, or should have been and were given up with their host."""
    return sum(reasons.values()) - sum(reasons.get(reason.value, 0) for reason in NOT_ASKED)


def answered(status: int) -> bool:
    """Whether a seed that got this status counts as one that answered."""
    return 200 <= status <= 399


def in_words(because: Mapping[str, int], most: int | None = None) -> str:
    """Counts as text for people: "connect 12, server_error 3", at most `most` of them."""
    shown = list(because.items())[:most]
    more = f" and {len(because) - len(shown)} more" if len(because) > len(shown) else ""
    return ", ".join(f"{name} {count:,}" for name, count in shown) + more


def table() -> str:
    """Everything that makes a crawl incomplete, as Markdown: the list of the README."""
    lines = ["| reason | what was missed | fetched again by |", "|---|---|---|"]
    lines += _rows((reason.value, entry) for reason, entry in REASONS.items())
    lines += _rows(COUNTS.items())
    return "\n".join(lines)


def _rows(entries: Iterable[tuple[str, Entry]]) -> list[str]:
    return [
        f"| `{name}` | {entry.sentence} | {_again(name, entry)} |"
        for name, entry in entries
        if entry.meaning is not Meaning.ANSWER
    ]


def _again(name: str, entry: Entry) -> str:
    by_name = f"`--retry-reason {name}`"
    if entry.meaning is Meaning.LIMIT:
        return by_name
    partly = {TRUNCATED: " but for `max_body`", UNREAD: " but for time and sitemaps"}.get(name, "")
    return f"`resume`{partly}" + (f"; all by {by_name}" if partly else "")
