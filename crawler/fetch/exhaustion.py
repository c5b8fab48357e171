"""Tells local resource exhaustion (memory, descriptors, threads of this process or machine) from failures of the web.

Rules:
- The error decides, wherever in the chain of exceptions it is: MemoryError, or an errno for descriptors of the process
  (EMFILE) or of the machine (ENFILE), buffers (ENOBUFS) or memory (ENOMEM, EAI_MEMORY).
- Python has no errno for a thread that cannot be started, only a message. OpenSSL, zlib, zstd and libcurl have messages
  or codes of their own for memory. Messages count only in errors of such libraries, never in what a server sent.
- hashlib says that a hash is unsupported where OpenSSL has no memory for it. We ask for SHA-256 only, which exists.
- Resolvers and libcurl hide it: they report "no such name" where they could open nothing. So after a DNS or connect
  failure we probe whether a descriptor and some memory are available. A thread that cannot be started counts as lack of
  memory (for its stack) where a probe finds none either.
- The detail of a failure for lack of memory begins with NO_MEMORY, so that the core can tell it from the others.
- Code that handles a MemoryError may raise the next one: see crawler/system/memory_shortage.py.
"""

from __future__ import annotations

import errno
import os
import socket
import zlib
from ssl import SSLError

from crawler.core.reasons import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import FetchError
from crawler.system.memory_shortage import can_allocate, can_map
from crawler.system.threads import NO_LOCK, NO_MORE

STARVING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
OF_MEMORY = frozenset({errno.ENOBUFS, errno.ENOMEM, socket.EAI_MEMORY})
SUSPECT = frozenset({FetchErrorKind.DNS, FetchErrorKind.CONNECT})
DEPTH = 8
WORDS = ("out of memory", "not enough memory", "insufficient memory", "allocate", "malloc failure", "allocation error")
"""How error messages of libraries name a lack of memory, in lower case."""
LIBRARIES = ("backports.zstd", "compression", "_zstd", "brotli", "_brotli", "sqlite3", "pycurl")
CURL_SAYS = ((27,), (2,), ("initializing curl failed",))  # CURLE_OUT_OF_MEMORY, CURLE_FAILED_INIT, no handle


def is_resource_exhausted(error: BaseException) -> bool:
    """Whether this failure is local: memory, descriptors or threads have run out."""
    if lacks_memory(error) or (isinstance(error, FetchError) and error.kind is FetchErrorKind.RESOURCE_EXHAUSTED):
        return True
    if any(isinstance(cause, OSError) and cause.errno in STARVING for cause in _chain(error)) or _no_thread(error):
        return True
    return _suspect(error) and _no_descriptor()


def lacks_memory(error: BaseException) -> bool:
    """Whether it failed for lack of memory."""
    if any(_of_memory(cause) for cause in _chain(error)):
        return True
    return (_suspect(error) and not can_allocate()) or (_no_thread(error) and not can_map())


def _suspect(error: BaseException) -> bool:
    """Whether its kind may hide that a resource was missing."""
    return isinstance(error, FetchError) and error.kind in SUSPECT


def _no_thread(error: BaseException) -> bool:
    """Whether a thread could not be started, for lack of memory or because a limit is reached."""
    words = [str(cause) for cause in _chain(error) if isinstance(cause, RuntimeError)]
    if isinstance(error, FetchError):
        words.append(error.detail)
    return any(NO_MORE in said for said in words)


def _chain(error: BaseException) -> list[BaseException]:
    """An error, what caused it, and so on."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < DEPTH:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


def _of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and NO_LOCK in str(error)):
        return True
    if isinstance(error, FetchError):
        return error.kind is FetchErrorKind.RESOURCE_EXHAUSTED and error.detail.startswith(NO_MEMORY)
    if isinstance(error, OSError) and not isinstance(error, SSLError):
        return error.errno in OF_MEMORY
    module = type(error).__module__
    if module == "_hashlib":
        return True
    if module == "pycurl":
        return error.args[:1] in CURL_SAYS
    if isinstance(error, SSLError | zlib.error) or module.startswith(LIBRARIES):
        words = str(error).lower()
        return any(word in words for word in WORDS)
    return False


def _no_descriptor() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in STARVING
    return False
