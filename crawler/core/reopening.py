"""Which settled URLs a resume asks again. Pure: the decision for every frontier and every mode.

Rules:
- A crawl that ended `incomplete` or `failed` asks again what ended in trouble, once at the start of a run: URLs, bodies
  that the network cut, pages whose parser process crashed or had no memory. A crawl that is not over does so on request
  only.
- A crawl that ended `failed` asks its seeds again, whatever they answered.
- What a limit of ours has cut is asked again only where its reason is named: the limit would cut it again.
- A selection is a set of words, so that it can be stored while it is carried out and carried out again after a kill.
  What was reopened is owed and no longer settled, so a second pass does not find it.
- For every budget a URL that is reopened was asked for once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from msgspec.structs import replace

from crawler.core.endings import COUNTS, LINKS_CUT, TROUBLES, TRUNCATED, UNREAD
from crawler.core.hosts.retry import RETRIED_CUTS
from crawler.core.messages import Budget
from crawler.core.reasons import Ending, ParseSkipped, Reason
from crawler.core.settling import read_back
from crawler.core.traps.detector import DOUBT, WHOLE

SEEDS = "seeds"
NAMES = (*(reason.value for reason in Reason if reason not in (Reason.OK, Reason.REDIRECT)), *COUNTS)
"""What may be asked again by name."""
MISSED = frozenset(
    [reason.value for reason in TROUBLES]
    + [f"{TRUNCATED}:{cut}" for cut in RETRIED_CUTS]
    + [f"{UNREAD}:{why}" for why in (ParseSkipped.LOST, ParseSkipped.MEMORY)]
)
"""The words of everything that ended in trouble."""


class Ended(Protocol):
    """A settled row of the frontier."""

    @property
    def reason(self) -> Reason:
        """Why it ended."""

    @property
    def status(self) -> int:
        """The last HTTP status, 0 where there was none."""

    @property
    def depth(self) -> int:
        """Links from the nearest seed."""

    @property
    def truncated(self) -> str:
        """Why the body was cut, empty where it was not."""

    @property
    def detail(self) -> str:
        """More about the reason, in words."""


def selection(ending: Ending, names: Iterable[str] = (), failed: bool = False) -> frozenset[str]:
    """The words of what the next run asks again, in a crawl that ended so. `names` of NAMES were asked for, or
    everything that failed."""
    words = frozenset(names)
    if failed or (not words and ending in (Ending.INCOMPLETE, Ending.FAILED)):
        words |= MISSED
    return words | {SEEDS} if ending is Ending.FAILED else words


def pick(words: frozenset[str], row: Ended) -> str | None:
    """The name under which a row is asked again; None where it is not."""
    if row.reason.value in words:
        return row.reason.value
    if row.truncated and not words.isdisjoint((TRUNCATED, f"{TRUNCATED}:{row.truncated}")):
        return TRUNCATED
    unread, cut = read_back(row.status, row.detail)
    if unread is not None and not words.isdisjoint((UNREAD, f"{UNREAD}:{unread}")):
        return UNREAD
    if cut and LINKS_CUT in words:
        return LINKS_CUT
    return row.reason.value if row.depth == 0 and SEEDS in words else None


def relieved(budget: Budget, asked: int, restart: bool) -> Budget | None:
    """The budget of a host after `asked` of its fetched URLs are reopened; None: it starts anew. `restart`: URLs that a
    brake had stopped are among them, so everything that brakes had learnt starts anew."""
    if budget.pattern == WHOLE:
        left = replace(budget, pages=max(0, budget.pages - asked))
        return replace(left, stopped="", evidence=()) if restart else left
    return None if restart and (budget.stopped or budget.rule or budget.pattern == DOUBT) else budget
