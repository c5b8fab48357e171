"""Crawls with random faults for so many minutes, and their counts."""

from __future__ import annotations

import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import monotonic

import variants
from tests.faults.calls import missing
from tests.faults.dice import STORES, draw
from tests.faults.invariants import Truth
from tests.faults.trial import ATTEMPTS, Blow, Trial

HOSTS, PAGES, SEED = 20, 200, 7
"""A small web without slow hosts."""
MOST_BLOWS = 4


class Campaign:
    """Runs trials one after another on each of several lanes. A lane mostly waits, as a polite crawl does."""

    def __init__(self, seed: int) -> None:
        self.landed: Counter[tuple[str, str, str]] = Counter()
        self.crawls = self.repeated = self.most = 0
        self.failures: list[str] = []
        self._dice = random.Random(seed)
        self._lock = Lock()
        self._truth = Truth(HOSTS, PAGES, ATTEMPTS, SEED)

    def run(self, minutes: float, lanes: int) -> None:
        """Start trials for so many seconds."""
        end_at = monotonic() + minutes * 60
        with ThreadPoolExecutor(lanes) as pool:
            list(pool.map(lambda lane: self._keep_trying(end_at), range(lanes)))

    def _keep_trying(self, end_at: float) -> None:
        while monotonic() < end_at:
            with self._lock:
                seed = self._dice.getrandbits(32)
            self._try(seed)

    def _try(self, seed: int) -> None:
        """One crawl. A failure is kept and printed with all that is needed to reproduce it."""
        dice = random.Random(seed)
        store, blows = dice.choice(STORES), [draw(dice, not missing()) for _ in range(dice.randint(1, MOST_BLOWS))]
        folder = Path(tempfile.mkdtemp(prefix=f"fault-{seed}-"))
        try:
            with Trial(self._truth, folder, store, dice) as trial:
                for blow in blows:
                    if not trial.complete:
                        trial.strike(blow)
                toll = trial.finish(dice.choice(variants.names()))
        except Exception:
            faults = ", ".join(map(say, blows))
            with self._lock:
                self.failures.append(f"{folder}: store {store}, {faults}\n{traceback.format_exc()}")
            print(f"FAILED {self.failures[-1]}", flush=True)
            return
        shutil.rmtree(folder)
        with self._lock:
            self.crawls += 1
            self.repeated += toll.repeated
            self.most = max(self.most, toll.most)
            self.landed.update({(mode, store, kind): count for (mode, kind), count in trial.landed.items()})

    def table(self) -> Iterable[str]:
        """The counts, a line each."""
        yield f"{'mode':10} {'store':7} " + "".join(f"{kind:>8}" for kind in KINDS) + "     all"
        for mode in variants.names():
            for store in STORES:
                row = [self._count(mode, store, kind) for kind in KINDS]
                yield f"{mode:10} {store:7} " + "".join(f"{count:8}" for count in row) + f"{sum(row):8}"
        for kind in sorted({kind for _, _, kind in self.landed if ":" in kind}):
            yield f"{kind:40} {sum(count for key, count in self.landed.items() if key[2] == kind)}"
        yield (
            f"{self.landed.total()} blows landed in {self.crawls} crawls that kept all promises; lost 0, twice 0; "
            f"{self.repeated} fetched again, at most {self.most} by one blow; {len(self.failures)} crawls FAILED"
        )

    def _count(self, mode: str, store: str, kind: str) -> int:
        return sum(
            count
            for (one_mode, one_store, one), count in self.landed.items()
            if (one_mode, one_store, one.partition(":")[0]) == (mode, store, kind)
        )


KINDS = ("group", "parent", "worker", "stop", "point", "call")


def say(blow: Blow) -> str:
    """A fault as text."""
    return f"{blow.kind} in {blow.mode}" + (f" ({blow.fault})" if blow.fault else "")
