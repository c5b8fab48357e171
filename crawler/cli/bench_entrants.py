"""Which entrants a bench measures: those that were asked for and are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawler.cli.lines import names

if TYPE_CHECKING:
    from crawler.bench.entrants import Entrant
    from crawler.bench.peers import Absent

NONE = "none"


def of_the_budget() -> tuple[Entrant, ...]:
    """The stages of a page, after the baseline."""
    from crawler.bench.budget import ENTRANTS
    from crawler.bench.entrants import RAW

    return (RAW, *ENTRANTS)


def all_entrants(modes: str, peers: str, absent: list[Absent]) -> tuple[Entrant, ...]:
    """What a bench measures; what is not installed is added to `absent`. Raises UsageError for an unknown mode or
    peer."""
    from crawler.bench.entrants import RAW, Mode

    there, missing = _peers(peers)
    alone = _alone(absent)
    absent += missing
    return (RAW, *alone, *map(Mode, _modes(modes)), *there)


def _alone(absent: list[Absent]) -> list[Entrant]:
    """The raw loops and the stages; a loop whose client is not installed is added to `absent`."""
    from importlib.util import find_spec

    from crawler.bench.entrants import ALONE, CURL
    from crawler.bench.peers import Absent
    from crawler.system.invocation import pip_install

    if find_spec("pycurl") is not None:
        return list(ALONE)
    absent.append(Absent(CURL.name, pip_install("clients")))
    return [one for one in ALONE if one is not CURL]


def _peers(listed: str) -> tuple[list[Entrant], list[Absent]]:
    """The requested peers that are installed, and those that are not. Raises UsageError for an unknown one."""
    from crawler.bench.peers import NAMES, find
    from crawler.errors import UsageError

    words = () if listed == NONE else names(listed) or NAMES
    for word in words:
        if word not in NAMES:
            raise UsageError(f"unknown peer {word!r} (there are: {', '.join(NAMES)}, or {NONE})")
    return find(words)


def _modes(listed: str) -> tuple[str, ...]:
    """The requested modes, each with or without a client. Raises UsageError for an unknown one."""
    import variants
    from crawler.fetch import check_client
    from crawler.settings import Settings

    words = names(listed) or variants.names()
    for word in words:
        mode, _, client = word.partition("+")
        check_client(variants.client_of(Settings(mode=mode, client=client or None)))
    return words
