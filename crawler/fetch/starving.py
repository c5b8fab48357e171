"""Is a failure our own, because this process or this machine has run out of what each fetch needs?

Rules:
- The error number decides, wherever in the chain of exceptions it is: descriptors of the process (EMFILE) or of the
  machine (ENFILE), buffers, memory, threads.
- Python has no number for a thread that cannot be started, only words.
- Resolvers and libcurl hide it: they say "no such name" where they could open nothing. So where a name or a connection
  was not to be had it is tried whether a descriptor is.
"""

from __future__ import annotations

import errno
import os

from crawler.core.messages import Trouble
from crawler.fetch.base import FetchError
from crawler.threads import NO_MORE

STARVING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
SUSPECT = frozenset({Trouble.DNS, Trouble.CONNECT})
DEPTH = 8


def starved(error: FetchError) -> bool:
    """Whether this failure says nothing of the web."""
    if error.trouble is Trouble.STARVED or NO_MORE in error.detail:
        return True
    cause: BaseException | None = error
    for _ in range(DEPTH):
        if cause is None:
            break
        if isinstance(cause, OSError) and cause.errno in STARVING:
            return True
        cause = cause.__cause__ or cause.__context__
    return error.trouble in SUSPECT and _nothing_can_be_opened()


def _nothing_can_be_opened() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in STARVING
    return False
