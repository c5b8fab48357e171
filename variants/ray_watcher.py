"""Waits until a crawler ends, then ends what is left of its local Ray cluster and removes the folder of that.

    python ray_watcher.py FOLDER PID    standard input: a pipe that the crawler PID holds open

Rules:
- A process belongs to the cluster if FOLDER is in its environment, or it has a file below FOLDER open: workers of Ray
  overwrite their environment with a title.
- It runs as a script, with the standard library only: it must outlive whatever kills the crawler, and be small.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

ATTEMPTS, PAUSE = 100, 0.02


def processes_of(folder: str) -> set[int]:
    """The ids of the processes of the cluster with this folder."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {pid for pid in pids if belongs(pid, folder)}


def belongs(pid: int, folder: str) -> bool:
    """Whether a process belongs to the cluster with this folder."""
    entry = Path("/proc") / str(pid)
    with suppress(OSError):
        if f"={folder}\0".encode() in (entry / "environ").read_bytes():
            return True
        for link in (entry / "fd").iterdir():
            with suppress(OSError):
                if str(link.readlink()).startswith(folder):
                    return True
    return False


def main() -> None:
    """Wait, end, remove."""
    folder, crawler = sys.argv[1], int(sys.argv[2])
    sys.stdin.buffer.read()
    for _ in range(ATTEMPTS):
        left = processes_of(folder) - {os.getpid(), crawler}
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            break
        time.sleep(PAUSE)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
