"""`python -m tests.simulated_nights`: re-crawls over 30 virtual nights, at their full size.

First freshness at equal budget: the code that decides, against asking for each page in turn and against knowing the
true rates. Then real re-crawls over loopback with a virtual clock: each night the diff must equal that of the oracle,
whatever the server does. The exit code is 1 where one differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.sim.freshness import HELD_OUT, TUNED, Draw, Policy, mean_freshness
from tests.sim.nights import SERVERS, play

SHARES = (0.05, 0.1, 0.2, 0.4)


def compare_policies(title: str, webs: Mapping[str, Draw], pages: int, nights: int, seeds: int) -> None:
    """Print the freshness of turns, and that of the other policies divided by it."""
    policies = [policy for policy in Policy if policy is not Policy.TURNS]
    print(f"\n{title}: {pages} pages, {nights} nights, {seeds} sites each; freshness, divided by that of turns")
    print(f"{'web':<40}{'budget':>7}{'turns':>8}" + "".join(f"{policy.value:>15}" for policy in policies))
    for name, draw in webs.items():
        for share in SHARES:
            turns = mean_freshness(draw, pages, share, Policy.TURNS, nights, seeds)
            ratios = [mean_freshness(draw, pages, share, policy, nights, seeds) / turns for policy in policies]
            print(f"{name:<40}{share:>7.0%}{turns:>8.3f}" + "".join(f"{ratio:>15.3f}" for ratio in ratios), flush=True)


def crawl_really(pages: int, nights: int) -> int:
    """Print the cost of real re-crawls of each server; returns how many nights were told wrongly."""
    kinds: dict[str, dict[str, Any]] = {
        "all": {},
        "due": {"revisit": "adaptive"},
        "budget": {"revisit": "adaptive", "revisit_budget": pages // 5},
    }
    print(f"\nreal re-crawls: {pages} pages, {nights} nights, the budget a fifth of the pages")
    print(f"{'server':<26}{'asked':>8}{'requests':>10}{'kB':>8}{'fresh':>8}{'wrong':>7}")
    wrong = 0
    for server in SERVERS:
        for kind, keys in kinds.items():
            with tempfile.TemporaryDirectory() as folder:
                played = play(server, Path(folder) / "crawl", pages, nights, **keys)
            kilobytes = played.bytes / 1000
            counts = f"{played.requests:>10,}{kilobytes:>8,.0f}{played.freshness:>8.3f}{len(played.wrong):>7}"
            print(f"{server:<26}{kind:>8}{counts}", flush=True)
            for one in played.wrong[:3]:
                print(f"    {one}")
            wrong += len(played.wrong)
    return wrong


def main() -> int:
    """Read the options, play everything, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--crawled", type=int, default=50, help="pages of the real re-crawls; 0: none")
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--sites", type=int, default=3, help="simulated sites of each web; 0: none")
    options = parser.parse_args()
    if options.sites:
        compare_policies("webs the rules were chosen on", TUNED, options.pages, options.nights, options.sites)
        compare_policies("held-out webs", HELD_OUT, options.pages, options.nights, options.sites)
    return int(bool(options.crawled and crawl_really(options.crawled, options.nights)))


if __name__ == "__main__":
    sys.exit(main())
