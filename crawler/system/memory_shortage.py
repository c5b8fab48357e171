"""What a process does when it is short of memory.

Rules:
- Whoever handles a MemoryError may meet the next one, so what must be done in spite of it is tried again after others
  may have freed what they held.
- Memory that is free in Python is not free for others: glibc keeps it. Large blocks are therefore taken from the kernel
  one by one (`large_blocks_apart`) and go back when they are freed; the rest goes back with `relieve`.
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
"""Bytes that are asked for to see whether there are any. They are never touched, so they cost nothing."""
TRIES = 250
GAP = 0.02
APART = 1024 * 1024
M_MMAP_THRESHOLD = -3
M_TRIM_THRESHOLD = -1


def despite_shortage(action: Callable[[], T]) -> T:
    """Do something small, again and again where there is no memory even for that. Raises MemoryError after TRIES."""
    for _ in range(TRIES):
        try:
            return action()
        except MemoryError:
            with suppress(MemoryError):
                gc.collect()
            sleep(GAP)
    return action()


def wait_for(event: threading.Event, seconds: float) -> bool:
    """Wait for an event so long; whether it is set. Where there is no memory for the lock that waiting takes, sleep."""
    try:
        return event.wait(seconds)
    except (MemoryError, RuntimeError):
        sleep(seconds)
        return event.is_set()


def can_allocate(size: int = PROBE) -> bool:
    """Whether so many bytes are to be had."""
    try:
        bytearray(size)
    except MemoryError:
        return False
    return True


def can_map(size: int = PROBE) -> bool:
    """Whether the kernel gives so many bytes: a new stack cannot come from what is free inside the process."""
    try:
        mmap.mmap(-1, size).close()
    except (OSError, MemoryError):
        return False
    return True


def relieve() -> None:
    """Give back to the system what is free in this process. It takes some milliseconds."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def large_blocks_apart() -> None:
    """Keep bodies of APART bytes and more out of the heap, where they would leave holes. By itself glibc raises this
    bound to the size of the largest block that was ever freed, up to 32 MiB."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, APART)
        libc.mallopt(M_TRIM_THRESHOLD, 4 * APART)
