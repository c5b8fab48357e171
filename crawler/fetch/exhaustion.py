"""Is a failure our own, because this process or this machine has run out of what each fetch needs?

Rules:
- The error decides, wherever in the chain of exceptions it is: MemoryError, or a number that says descriptors of the
  process (EMFILE) or of the machine (ENFILE), buffers, memory (ENOMEM, EAI_MEMORY).
- Python has no number for a thread that cannot be started, only words. OpenSSL, zlib, zstd and libcurl have words or
  codes of their own for memory. Words count only in errors of such libraries, never in what a server said.
- Resolvers and libcurl hide it: they say "no such name" where they could open nothing. So where a name or a connection
  was not to be had it is tried whether a descriptor and some memory are. A thread that cannot be started lacks memory
  (for its stack) where there is none to be had otherwise, too.
- The detail of a failure for want of memory begins with NO_MEMORY, so that the core can tell it from the others.
- Whoever handles a MemoryError may meet the next one: see crawler/system/memory_shortage.py.
"""

from __future__ import annotations

import errno
import os
import socket
import zlib
from ssl import SSLError

from crawler.core.messages import NO_MEMORY, FetchErrorKind
from crawler.fetch.base import FetchError
from crawler.system.memory_shortage import can_allocate, can_map
from crawler.system.threads import NO_LOCK, NO_MORE

STARVING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
OF_MEMORY = frozenset({errno.ENOBUFS, errno.ENOMEM, socket.EAI_MEMORY})
SUSPECT = frozenset({FetchErrorKind.DNS, FetchErrorKind.CONNECT})
DEPTH = 8
WORDS = ("out of memory", "not enough memory", "insufficient memory", "allocate", "malloc failure", "allocation error")
"""How libraries say it, in lower case."""
LIBRARIES = ("backports.zstd", "compression", "_zstd", "brotli", "_brotli", "sqlite3", "pycurl")
CURL_SAYS = ((27,), (2,), ("initializing curl failed",))  # CURLE_OUT_OF_MEMORY, CURLE_FAILED_INIT, no handle


def is_resource_exhausted(error: BaseException) -> bool:
    """Whether this failure says nothing of the web."""
    if lacks_memory(error) or (isinstance(error, FetchError) and error.kind is FetchErrorKind.RESOURCE_EXHAUSTED):
        return True
    if any(isinstance(cause, OSError) and cause.errno in STARVING for cause in _chain(error)) or _no_thread(error):
        return True
    return _suspect(error) and _no_descriptor()


def lacks_memory(error: BaseException) -> bool:
    """Whether it failed for want of memory."""
    if any(_of_memory(cause) for cause in _chain(error)):
        return True
    return (_suspect(error) and not can_allocate()) or (_no_thread(error) and not can_map())


def _suspect(error: BaseException) -> bool:
    """Whether it may hide that there was nothing to ask with."""
    return isinstance(error, FetchError) and error.kind in SUSPECT


def _no_thread(error: BaseException) -> bool:
    """Whether a thread could not be started, for want of memory or because there may be no more of them."""
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
