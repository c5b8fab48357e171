"""The main loop of the process that parses heavy pages: a page in, its Reading out, until the parent closes the socket.

Rules:
- Each page has its own limits, the same in every mode: they depend on its size and the settings, not on how many
  processes parse, nor on other pages. The kernel ends a process that has used its seconds of CPU on a page (SIGPROF);
  a page that needs more memory than granted becomes `ParseSkipped.MEMORY`.
- The memory of the fresh process does not count. Where a process that has parsed other pages runs out of memory, a
  fresh one decides (`ParseResponse.again`): earlier pages fragment the heap, and not always alike.
- A process that was refused memory may be in any state, and one that used much keeps some: both are replaced
  (`ParseResponse.spent`).
- It has a higher nice value than the parent: an event loop with many pages in flight goes before one page.
- It has only the rules and the pages: its one descriptor is a socket to the parent.
"""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from crawler.core.page.links import read_page, unread_page
from crawler.core.reasons import ParseSkipped
from crawler.core.urls.canonical import Resolver
from crawler.core.urls.normalization import normalizer
from crawler.core.urls.scope import Scope
from crawler.pipeline.sandbox.messages import ParseRequest, ParseResponse, SandboxConfig
from crawler.system.memory_shortage import large_blocks_apart
from crawler.system.parent_death import die_with_parent

MEMORY_PER_BYTE = 64
"""Bytes granted per byte of a body. Pages take 5 to 47 (the parser stores 48 bytes per error); only those that reopen
formatting elements take more, without any bound."""
MEMORY_SPARE = 64 * 1024 * 1024
SHORTEST = 0.01
REMEMBERED = 4 * 1024 * 1024
NICER = 5
BASE = 40 * 1024 * 1024
LEAN = 64 * 1024 * 1024


def serve(descriptor: int) -> None:
    """Parse pages until the socket is closed. `descriptor` is that of the socket to the parent."""
    die_with_parent()
    large_blocks_apart()
    os.nice(NICER)
    with Connection(descriptor) as line, suppress(EOFError, OSError):
        charter = msgspec.msgpack.decode(line.recv_bytes(), type=SandboxConfig)
        resolver = Resolver(Scope(charter.rules, ()).admits_path, REMEMBERED, normalizer(charter.rules))
        born_with, _ = _memory()
        fresh = True
        while True:
            order = msgspec.msgpack.decode(line.recv_bytes(), type=ParseRequest)
            body = line.recv_bytes()
            granted = min(MEMORY_PER_BYTE * len(body) + MEMORY_SPARE, charter.memory)
            most = born_with + len(body) + granted if born_with else resource.RLIM_INFINITY
            answer = _answer(order, body, charter, resolver, most)
            if answer.reading is not None and answer.reading.unread is ParseSkipped.MEMORY and not fresh:
                answer = ParseResponse(None, spent=True, again=True)
            line.send_bytes(msgspec.msgpack.encode(answer))
            fresh = False


def _answer(order: ParseRequest, body: bytes, charter: SandboxConfig, resolver: Resolver, most: int) -> ParseResponse:
    """Parse one page, with at most `most` bytes of address space."""
    rules = charter.rules
    signal.setitimer(signal.ITIMER_PROF, max(SHORTEST, charter.seconds))
    _limit(resource.RLIMIT_AS, most)
    try:
        reading = read_page(
            body,
            order.url,
            order.headers,
            rules,
            resolver,
            order.extract_links,
            order.want_fingerprint,
            order.naming,
        )
        return ParseResponse(reading, spent=_memory()[1] > min(LEAN, BASE + charter.memory // 4))
    except MemoryError:
        return ParseResponse(unread_page(order.headers, rules, ParseSkipped.MEMORY), spent=True)
    except Exception as error:
        return ParseResponse(None, f"{type(error).__name__}: {error}")
    finally:
        _limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit(which: int, most: int) -> None:
    """Set a soft limit, capped by the hard one."""
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY and not 0 <= most <= hard:
        most = hard
    resource.setrlimit(which, (most, hard))


def _memory() -> tuple[int, int]:
    """(Bytes of address space, resident bytes) of this process; 0 where there is no /proc."""
    try:
        taken, resident, *_ = Path("/proc/self/statm").read_text().split()
    except OSError:
        return 0, 0
    return int(taken) * resource.getpagesize(), int(resident) * resource.getpagesize()
