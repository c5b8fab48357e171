"""What a run was expected to bring, and when a failed one is tried again.

Rules:
- Expectations are judged when a crawl has ended by itself. An unmet one makes a success `degraded`; where expectations
  are to fail the run, it fails, also one that a limit ended.
- Errors are URLs that ended in trouble, as a share of those that were asked for, see crawler/core/endings.py.
- The drop is against the pages of the last run of the job that succeeded. Without one, or where it had no pages, there
  is nothing to compare with.
- Only failed runs are tried again, by default none. A command line or configuration that cannot be used (exit code 2)
  fails the same way each time, so it is not. Waits double up to LONGEST_WAIT.
"""

from __future__ import annotations

from collections.abc import Mapping

from crawler.core.endings import asked, errors
from crawler.service.core.states import RunEvent, RunReason, RunState

LONGEST_WAIT = 3600.0
_USAGE = 2  # the exit code for bad input
_MOST_DOUBLINGS = 20  # a first wait of a second is above LONGEST_WAIT long before


def unmet(
    pages: int,
    reasons: Mapping[str, int],
    pages_before: int | None,
    *,
    min_pages: int | None = None,
    max_error_share: float | None = None,
    max_drop: float | None = None,
) -> tuple[str, ...]:
    """A sentence for each expectation that is not met. `pages` and `reasons` are those of the summary; an expectation
    that is None is none; shares are from 0 to 1."""
    found = list[str]()
    if min_pages is not None and pages < min_pages:
        found.append(f"{pages:,} pages, at least {min_pages:,} expected")
    wrong, all_asked = errors(reasons), asked(reasons)
    if max_error_share is not None and wrong > max_error_share * all_asked:
        found.append(f"{wrong:,} of {all_asked:,} URLs ended in errors, at most {max_error_share:.1%} expected")
    if max_drop is not None and pages_before and pages < (1 - max_drop) * pages_before:
        drop = 1 - pages / pages_before
        found.append(f"{pages:,} pages after {pages_before:,}, {drop:.1%} fewer, at most {max_drop:.1%} expected")
    return tuple(found)


def judged(event: RunEvent, reason: RunReason, unmet_ones: tuple[str, ...], fail: bool) -> tuple[RunEvent, RunReason]:
    """The end of a run in the light of its expectations; `fail`: whether an unmet one fails the run."""
    if not unmet_ones or event not in (RunEvent.COMPLETED, RunEvent.LIMIT_REACHED):
        return event, reason
    if fail:
        return RunEvent.FAILED, RunReason.EXPECTATION
    return event, RunReason.DEGRADED if event is RunEvent.COMPLETED else reason


def retry_wait(
    state: RunState, exit_code: int | None, attempt: int, *, attempts: int = 0, first_wait: float = 60.0
) -> float | None:
    """Seconds until a run that has ended is tried again, None where it is not. `attempt` counts from 1; `attempts` is
    how many follow the first one at most."""
    if state is not RunState.FAILED or exit_code == _USAGE or attempt > attempts:
        return None
    return min(LONGEST_WAIT, first_wait * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))
