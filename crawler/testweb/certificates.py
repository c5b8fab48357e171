"""TLS for the test web: a certificate authority per server run, and one certificate (ECDSA) for all of its hosts.

Made by `trustme`, in the extra `tls`, that a crawl does not need.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

from crawler.errors import UsageError
from crawler.system.invocation import pip_install


def check_tls() -> None:
    """Raises UsageError where no certificate can be made, before a server is started."""
    if find_spec("trustme") is None:
        raise UsageError(f"TLS needs the package trustme: {pip_install('tls')}")


def write_certificates(names: Sequence[str], authority: Path, server: Path) -> None:
    """Write the certificate of a new authority, and the key and certificate of the servers, whose names may be
    addresses. Raises UsageError."""
    check_tls()
    import trustme

    new = trustme.CA()
    new.cert_pem.write_to_path(authority)
    server.touch(0o600)
    covered = dict.fromkeys(map(_covering, names))
    new.issue_cert(*covered).private_key_and_cert_chain_pem.write_to_path(server)


def _covering(name: str) -> str:
    """What a certificate must be for: the address itself, or all names of the domain."""
    try:
        return str(ip_address(name))
    except ValueError:
        return f"*.{name.partition('.')[2]}"


def server_context(server: Path) -> ssl.SSLContext:
    """The TLS context of a server, from its key and certificate. Raises OSError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server)
    context.set_alpn_protocols(["http/1.1"])
    return context
