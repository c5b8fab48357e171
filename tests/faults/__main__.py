"""Faults by the hundred: `python -m tests.faults --minutes N [--seed S]`; exit code 1 where a promise was broken."""

from __future__ import annotations

import argparse
import sys

from tests.faults.campaign import Campaign


def main() -> int:
    """Run and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=3, help="crawls at a time")
    chosen = parser.parse_args()
    campaign = Campaign(chosen.seed)
    campaign.run(chosen.minutes, chosen.lanes)
    print("\n".join(campaign.table()))
    return 1 if campaign.failures else 0


if __name__ == "__main__":
    sys.exit(main())
