"""TLS: which certificates are trusted, the settings of every client, and what a failed handshake means."""

from __future__ import annotations

import functools
import os
import ssl
from pathlib import Path

import certifi

from crawler.errors import UsageError
from crawler.fetch.base import one_line

BROKEN_CONNECTIONS = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError)
"""Errors of the network, in a TLS handshake too: a retry may succeed."""


def usual_ca_file() -> str:
    """The file of trusted certificates: SSL_CERT_FILE where it is set, else certifi's."""
    return os.environ.get("SSL_CERT_FILE") or certifi.where()


@functools.cache
def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """One verifying context for the process: reading the certificates takes tens of milliseconds.

    It trusts the certificates in `ca_file` too. Raises UsageError where that file cannot be used.
    """
    context = ssl.create_default_context(cafile=usual_ca_file())
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # an SSLError is one: what is there is no certificate
            raise UsageError(f"cannot use ca_file {ca_file}: {error.strerror or error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


@functools.cache
def trusted_certificates(ca_file: str) -> bytes:
    """The certificates of the usual file and of `ca_file`, in PEM. Raises UsageError as `tls_context` does."""
    tls_context(ca_file)
    return b"\n".join(Path(name).read_bytes() for name in (usual_ca_file(), ca_file))


def server_name(host: str) -> str:
    """The name that a certificate must be for, also sent by SNI (RFC 6066): without the dot of the root. Raises
    ValueError for what is no name: `ssl` would do so only when it has taken the socket, and leave that open."""
    name = host.rstrip(".") or host
    name.encode("idna")
    return name


_WHY = {
    9: "certificate is not valid yet",
    10: "certificate has expired",
    18: "certificate of an unknown authority",
    19: "certificate of an unknown authority",
    20: "certificate of an unknown authority",
    21: "certificate of an unknown authority",
    62: "certificate is for another host",
    64: "certificate is for another host",
}
"""OpenSSL's verification results (x509_vfy.h) in words."""


_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})
"""What OpenSSL, by version, calls bytes that are no TLS record."""


def handshake_failure(error: ssl.SSLError) -> str:
    """Why a handshake failed, in one line: what is wrong with the certificate, or that the port speaks no TLS."""
    said = one_line(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        why = _WHY.get(error.verify_code)
    else:
        why = "the port answers without TLS: is it http:// ?" if error.reason in _NO_TLS else None
    return f"{why} ({said})"[:300] if why else said
