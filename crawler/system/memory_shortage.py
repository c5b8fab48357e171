"""Helpers for a process that runs out of memory.

Rules:
- Code that handles a MemoryError may raise the next one, so what must be done is retried, after other threads may have
  freed memory.
- glibc keeps memory that Python has freed. Large blocks are therefore mapped one by one (`large_blocks_apart`) and
  return to the kernel when they are freed; `relieve` returns the rest.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import threading
from collections.abc import Callable
from contextlib import suppress
from time import sleep
from typing import TypeVar

T = TypeVar("T")

PROBE = 16 * 1024 * 1024
"""Bytes that a probe allocates. They are never touched, so they cost nothing."""
TRIES = 250
GAP = 0.02
APART = 1024 * 1024
M_MMAP_THRESHOLD = -3
M_TRIM_THRESHOLD = -1


def despite_shortage(action: Callable[[], T]) -> T:
    """Run a small action, with TRIES retries on MemoryError, GAP seconds apart; then raises MemoryError."""
    for _ in range(TRIES):
        try:
            return action()
        except MemoryError:
            with suppress(MemoryError):
                gc.collect()
            sleep(GAP)
    return action()


def wait_for(event: threading.Event, seconds: float) -> bool:
    """Wait for an event for `seconds`; returns whether it is set. Sleeps where there is no memory for a lock."""
    try:
        return event.wait(seconds)
    except (MemoryError, RuntimeError):
        sleep(seconds)
        return event.is_set()


def can_allocate(size: int = PROBE) -> bool:
    """Whether `size` bytes can be allocated."""
    try:
        bytearray(size)
    except MemoryError:
        return False
    return True


def can_map(size: int = PROBE) -> bool:
    """Whether the kernel maps `size` bytes: the stack of a thread cannot come from the free heap of the process."""
    try:
        mmap.mmap(-1, size).close()
    except (OSError, MemoryError):
        return False
    return True


def relieve() -> None:
    """Return free memory of this process to the system. Takes some milliseconds."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def large_blocks_apart() -> None:
    """Keep blocks of APART bytes and more out of the heap, which they would fragment. By default glibc raises this
    threshold to the size of the largest block that was ever freed, up to 32 MiB."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, APART)
        libc.mallopt(M_TRIM_THRESHOLD, 4 * APART)
