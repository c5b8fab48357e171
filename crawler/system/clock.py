"""From the clock of the Crawl (monotonic) to Unix time and back, so that no rest changes when somebody sets a clock.

Rules:
- One run has one offset between the two: a clock that is set while it runs changes no hold.
- A run after another one, on a machine that was not booted meanwhile, keeps its offset: one that was set in between
  changes none either. (The monotonic clock begins anew at boot.)
- After a boot only the clock on the wall is left. If it says a time before the last commit it was set back, and the
  time of that commit is the best that is known: so no hold gets longer than it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic, time

BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """What tells this run of the machine from others; "" where nothing does."""
    with suppress(OSError):
        return BOOT.read_text().strip()
    return ""


def offset(earlier_boot: str, earlier: float, written: Iterable[Path]) -> float:
    """Seconds from the monotonic clock to Unix time, for a run. An earlier one had `earlier` at that boot and has
    `written` these files last."""
    if earlier_boot and earlier_boot == boot():
        return earlier
    latest = 0.0
    for path in written:
        with suppress(OSError):
            latest = max(latest, path.stat().st_mtime)
    return max(latest, time()) - monotonic()
