"""Ends a child process when its parent ends, however that happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """In a child: ask the kernel for SIGKILL when the thread that started us, or its process, ends. Linux only.

    `parent` is the pid of that process, where it is known. If it has ended before, no signal comes: we end at once."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
