"""Many fault trials: `python -m tests.faults --minutes N [--seed S]`; exit code 1 if an invariant was violated."""

from __future__ import annotations

import argparse
import sys

import variants
from tests.faults.campaign import Campaign
from tests.faults.soak import Soak


def main() -> int:
    """Run and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=3, help="crawls at a time")
    parser.add_argument("--soak", action="store_true", help="long crawls with a fault now and then, and what they cost")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two faults of a soak")
    parser.add_argument("--modes", nargs="+", default=[*variants.names()], help="modes of a soak")
    chosen = parser.parse_args()
    if chosen.soak:
        soaks = [
            Soak(mode, chosen.minutes * 60 / len(chosen.modes), chosen.every, chosen.seed) for mode in chosen.modes
        ]
        return soak(soaks)
    campaign = Campaign(chosen.seed)
    campaign.run(chosen.minutes, chosen.lanes)
    print("\n".join(campaign.table()))
    return 1 if campaign.failures else 0


def soak(soaks: list[Soak]) -> int:
    """One after another."""
    for one in soaks:
        one.run()
        print("\n".join(one.lines()), flush=True)
    return 0 if all(one.flat for one in soaks) else 1


if __name__ == "__main__":
    sys.exit(main())
