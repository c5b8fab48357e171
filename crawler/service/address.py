"""Where a service listens: a small file in its data folder, by which commands find it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from crawler.errors import StorageError, UsageError
from crawler.system.invocation import called

ADDRESS = "address.json"
TOKEN = "token"


class ServedAt(msgspec.Struct, frozen=True):
    """The address of a service, the file of its token, and its process."""

    url: str
    token_file: str
    pid: int


def write_address(data: Path, at: ServedAt) -> None:
    """Store an address, whole or not at all. Raises StorageError."""
    beside = data / f".{ADDRESS}"
    try:
        beside.write_bytes(msgspec.json.encode(at))
        beside.replace(data / ADDRESS)
    except OSError as error:
        raise StorageError(f"cannot write {data / ADDRESS}: {error.strerror}; choose another --data") from error


def read_address(data: Path) -> ServedAt:
    """The address of the service with this folder; after a kill it may be out of date. Raises UsageError."""
    try:
        return msgspec.json.decode((data / ADDRESS).read_bytes(), type=ServedAt)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"no service runs with the folder {data}; start it: {called()} serve --data {data}") from error


def remove_address(data: Path) -> None:
    """Forget the address."""
    (data / ADDRESS).unlink(missing_ok=True)
