"""One worker process of `processes`: read orders, fetch them on a pool of threads, store pages, answer.

The main thread only reads orders, so the parent never blocks on a full pipe. A second thread answers: it takes all
landings in the queue, flushes the part, and only then sends them. A page reported to the parent is thus on disk.
"""

from __future__ import annotations

import contextlib
import os
import socket
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty

import msgspec

from crawler.core.messages import Event, Fetch, Lateness
from crawler.errors import CrawlerError, OutOfMemory, StorageError
from crawler.metrics.heartbeat import measure_lag
from crawler.metrics.histogram import Histogram
from crawler.runtime.job import open_processor
from crawler.runtime.memory_limit import keep_lean
from crawler.runtime.memory_plan import READER, Shares
from crawler.settings import Settings, open_scope
from crawler.storage.database import retry_storage
from crawler.storage.opening import open_pages
from crawler.storage.pages.base import Writer
from crawler.system.gc_tuning import reduced_gc
from crawler.system.threads import start_thread, thread_errors
from variants.thread_pool import FetchThreadPool
from variants.worker_process import NO_MEMORY_EXIT, init_child

LANDINGS = b"L"
ERROR = b"E"
LATENESS = b"H"

_encode = msgspec.msgpack.Encoder().encode
_decode_fetches = msgspec.msgpack.Decoder(list[Fetch]).decode
_decode_lateness = msgspec.msgpack.Decoder(Lateness).decode


class PoolSpec(msgspec.Struct, frozen=True):
    """The parameters of a worker, sent when it starts."""

    settings: Settings
    client: str
    threads: int
    folder: str
    seed: int
    shares: Shares


def encode_fetches(fetches: list[Fetch]) -> bytes:
    """Encode a batch of orders (msgpack)."""
    return _encode(fetches)


def lateness_of(message: bytes) -> Lateness | None:
    """The scheduling lag in the last message of a worker; None for any other message."""
    return _decode_lateness(message[1:]) if message[:1] == LATENESS else None


def serve(greeter: socket.socket, encoded: bytes) -> None:
    """The Pool's initializer: serves until the parent closes the pipe or ends, then exits. Never returns."""
    try:
        init_child()
        _begin(greeter, encoded)
    except (OutOfMemory, MemoryError):
        os._exit(NO_MEMORY_EXIT)  # as after a kill, the parent starts another or gives up after several
    os._exit(0)


def _begin(greeter: socket.socket, encoded: bytes) -> None:
    spec = msgspec.json.decode(encoded, type=PoolSpec)
    mine, theirs = socket.socketpair()
    try:
        socket.send_fds(greeter, [str(os.getpid()).encode()], [theirs.fileno()])
        theirs.close()
        greeter.close()
        pipe = Connection(mine.detach())
        store = open_pages(spec.settings, Path(spec.folder), spec.seed, _disk_wait(spec))
        part = pipe.recv_bytes().decode()
        writer = retry_storage(lambda: store.writer(part), _disk_wait(spec))
    except (OSError, EOFError):
        os._exit(0)  # the parent is gone
    except StorageError as error:
        pipe.send_bytes(ERROR + str(error).encode())
        os._exit(1)
    try:
        with reduced_gc(), thread_errors():
            _serve(pipe, spec, writer)
    except OutOfMemory:
        raise
    except CrawlerError as error:
        _send(pipe, ERROR + str(error).encode())
        os._exit(1)


def _serve(pipe: Connection, spec: PoolSpec, writer: Writer) -> None:
    reader = open_processor(spec.settings, open_scope(spec.settings), spec.shares, Path(spec.folder))
    pool = FetchThreadPool(spec.threads, spec.client, spec.settings.client_plan(1), reader, writer)
    answers = start_thread(_answer, "answers", pipe, pool, writer, _disk_wait(spec))
    keep_lean(spec.shares.limit - READER)
    lateness = Histogram()
    with contextlib.suppress(EOFError, OSError):
        with measure_lag(spec.settings.heartbeat, lateness):
            while orders := pipe.recv_bytes():
                for fetch in _decode_fetches(orders):
                    pool.order(fetch)
        pool.close()
        pool.landings.put(None)
        answers.join()
        reader.close()
        writer.close()
        if lateness:
            _send(pipe, LATENESS + _encode(lateness.message()))


def _disk_wait(spec: PoolSpec) -> float:
    """Seconds to wait for a full disk: at most half a lease, as the parent kills a worker that is silent for one."""
    return min(spec.settings.disk_wait, spec.settings.lease / 2)


def _answer(pipe: Connection, pool: FetchThreadPool, writer: Writer, disk_wait: float) -> None:
    """Send landings in groups, each group after a flush. None in the queue ends it."""
    try:
        _answer_all(pipe, pool, writer, disk_wait)
    except MemoryError:
        os._exit(NO_MEMORY_EXIT)  # a worker that cannot answer is useless


def _answer_all(pipe: Connection, pool: FetchThreadPool, writer: Writer, disk_wait: float) -> None:
    going = True
    while going:
        landings: list[Event] = []
        try:
            landing = pool.landings.get()
            while True:
                if isinstance(landing, CrawlerError):
                    raise landing
                if landing is None:
                    going = False
                    break
                landings.append(landing)
                landing = pool.landings.get_nowait()
        except Empty:
            pass
        except CrawlerError as error:
            _send(pipe, ERROR + str(error).encode())
            return
        try:
            retry_storage(writer.flush, disk_wait)
        except StorageError as error:
            _send(pipe, ERROR + str(error).encode())
            return
        _send(pipe, LANDINGS + _encode(landings))


def _send(pipe: Connection, message: bytes) -> None:
    try:
        pipe.send_bytes(message)
    except OSError:
        os._exit(0)  # the parent is gone: no frontier row will name these pages
