"""Sends heavy pages to the sandbox process: see the package for the rules."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from crawler.core.messages import SitemapNaming
from crawler.core.page.links import PageHeaders, Reading, read_page, unread_page
from crawler.core.reasons import ParseSkipped
from crawler.core.rules import Rules
from crawler.core.urls.canonical import Resolver
from crawler.core.urls.normalization import normalizer
from crawler.core.urls.scope import Scope
from crawler.pipeline.sandbox.messages import ParseRequest, SandboxConfig

if TYPE_CHECKING:
    from crawler.pipeline.sandbox.subprocess import HeavyProcess

T = TypeVar("T")

TRIES = 2
CPU_LIMIT = 10
"""Seconds. The worst pages known need 0.8 for 10 MiB; a machine may be ten times slower. What takes longer is a regular
expression of `exclude` or `include` that backtracks."""


class HeavyReader:
    """Reads heavy pages for the threads of one process, or for one event loop. A page may take `seconds` of CPU and
    `memory` bytes."""

    def __init__(self, rules: Rules, memory: int, seconds: int = CPU_LIMIT) -> None:
        self._rules = Rules(**{key: getattr(rules, key) for key in Rules.__struct_fields__})
        self._charter = SandboxConfig(self._rules, memory, seconds)
        self._lock = threading.RLock()
        self._process: HeavyProcess | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._closed = False

    def read(
        self,
        body: bytes,
        url: str,
        headers: PageHeaders,
        follow: bool,
        fingerprint: bool = False,
        naming: SitemapNaming | None = None,
    ) -> Reading:
        """`read_page` in the sandbox process; from any thread. Raises what `read_page` raises, and RuntimeError once
        closed or where the worker raised."""
        order = ParseRequest(url, headers, follow, fingerprint, naming)
        with self._lock:
            for _ in range(TRIES):
                try:
                    return self._ask(order, body)
                except (OSError, EOFError):
                    ended = self._reap()
                if ended is None or ended > 0:  # it could not be started, or failed at start
                    return self._read_here(order, body)
                if ended == -signal.SIGPROF:
                    return unread_page(headers, self._rules, ParseSkipped.CPU_LIMIT)
        return unread_page(headers, self._rules, ParseSkipped.LOST)

    def run_exclusive(self, work: Callable[[], T]) -> T:
        """Run `work`, which takes much memory, while no other thread does."""
        with self._lock:
            return work()

    async def arun_exclusive(self, work: Callable[[], T]) -> T:
        """`run_exclusive` on a thread, for an event loop."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="heavy")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.run_exclusive, work)

    def close(self) -> None:
        """Kill the process, even in the middle of a page: `read` then raises RuntimeError."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._reap()

    def _ask(self, order: ParseRequest, body: bytes) -> Reading:
        if self._closed:
            raise RuntimeError("the sandbox was closed while it parsed a page")
        if self._process is None:
            from crawler.pipeline.sandbox.subprocess import HeavyProcess  # 6 ms that only a heavy page pays

            self._process = HeavyProcess(self._charter)
        answer = self._process.ask(order, body)
        if answer.spent:
            self._reap()
        if answer.again:
            return self._ask(order, body)
        if answer.reading is None:
            raise RuntimeError(answer.error)
        return answer.reading

    def _reap(self) -> int | None:
        """End the process; its exit status, None where there was no process."""
        process, self._process = self._process, None
        return None if process is None else process.end()

    def _read_here(self, order: ParseRequest, body: bytes) -> Reading:
        resolver = Resolver(Scope(self._rules, ()).admits_path, 0, normalizer(self._rules))
        return read_page(
            body,
            order.url,
            order.headers,
            self._rules,
            resolver,
            order.extract_links,
            order.want_fingerprint,
            order.naming,
        )
