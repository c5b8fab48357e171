"""The offset from the clock of the Crawl (monotonic) to Unix time, chosen so that setting the clock changes no delay.

Rules:
- A run has one fixed offset: setting the wall clock while it runs changes no delay.
- A later run on the same boot keeps the offset: setting the clock in between changes no delay either. (The monotonic
  clock restarts at boot.)
- After a reboot only the wall clock is left. If it is earlier than the last commit it was set back, and the time of
  that commit is used instead: so no delay gets longer than it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic, time

BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """The boot id of the machine; "" where there is none."""
    with suppress(OSError):
        return BOOT.read_text().strip()
    return ""


def offset(earlier_boot: str, earlier: float, written: Iterable[Path]) -> float:
    """Seconds from the monotonic clock to Unix time, for a run. An earlier run had the offset `earlier` at
    `earlier_boot`, and last wrote the files `written`."""
    if earlier_boot and earlier_boot == boot():
        return earlier
    latest = 0.0
    for path in written:
        with suppress(OSError):
            latest = max(latest, path.stat().st_mtime)
    return max(latest, time()) - monotonic()
