"""Many crawls while hosts are unreachable: `python -m tests.outages [--count N] [--first SEED] [--lanes N]`.

Each is a pure function of its number: `--first 17 --count 1` plays number 17 again. Exit code 1 if one has failed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import variants
from tests.outages.plan import STORES, Plan, plan
from tests.outages.trial import Result, run

Outcome = tuple[Plan, Result | None, str]


def play(seed: int) -> Outcome:
    """Run one trial; returns its error, if any. The folder of a failed trial is kept."""
    chosen = plan(seed)
    folder = Path(tempfile.mkdtemp(prefix=f"outage-{seed}-"))
    try:
        result = run(chosen, folder)
    except Exception as error:
        last = "".join(traceback.format_exception(error)[-1:]).strip()
        return chosen, None, f"{folder}\n    {last[:2000]}"
    shutil.rmtree(folder)
    return chosen, result, ""


def main() -> int:
    """Run the trials and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--lanes", type=int, default=2, help="crawls at a time")
    chosen = parser.parse_args()
    began = monotonic()
    good: Counter[tuple[str, str, bool]] = Counter()
    bad: Counter[tuple[str, str, bool]] = Counter()
    missed, seconds = 0, []
    with ThreadPoolExecutor(chosen.lanes) as lanes:
        for one, result, wrong in lanes.map(play, range(chosen.first, chosen.first + chosen.count)):
            (bad if result is None else good)[one.mode, one.store, one.heals] += 1
            if result is None:
                print(f"FAILED {one}\n    {wrong}", flush=True)
            else:
                missed += result.missed
                seconds.append(result.seconds)
    print(f"{'mode':10} {'store':7}  healed: kept failed   stayed: kept failed")
    for mode in variants.names():
        for store in STORES:
            cells = [counts[mode, store, heals] for heals in (True, False) for counts in (good, bad)]
            print(f"{mode:10} {store:7} {cells[0]:13} {cells[1]:6} {cells[2]:14} {cells[3]:6}")
    took = f"{sorted(seconds)[len(seconds) // 2]:.1f} s the median, {max(seconds):.1f} s the longest" if seconds else ""
    print(f"{good.total()} crawls kept all promises, {bad.total()} FAILED; {took}; {monotonic() - began:.0f} s in all")
    print(f"{missed} URLs were missed while hosts stayed away, named, and fetched by a resume")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
