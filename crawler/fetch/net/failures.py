"""What a connection that could not be opened means."""

from __future__ import annotations

import ssl

from crawler.core.reasons import FetchErrorKind
from crawler.fetch.base import FetchError, one_line
from crawler.fetch.net.endpoints import resolve_error
from crawler.fetch.net.guard import Blocked
from crawler.fetch.net.tls import BROKEN_CONNECTIONS, handshake_failure


def connect_failure(error: Exception, *, tls: bool) -> FetchError:
    """The FetchError for a failed connect, or, with `tls`, a failed handshake: BLOCKED, DISCONNECT (the network broke
    it), TLS or CONNECT."""
    if isinstance(error, Blocked):
        return resolve_error(error)
    if isinstance(error, BROKEN_CONNECTIONS):
        return FetchError(FetchErrorKind.DISCONNECT, one_line(error))
    if isinstance(error, ssl.SSLError):
        return FetchError(FetchErrorKind.TLS, handshake_failure(error))
    if tls:
        return FetchError(FetchErrorKind.TLS, one_line(error))
    return FetchError(FetchErrorKind.CONNECT, one_line(error))
