"""A bucket of an S3 server: objects below a prefix, and what its errors mean.

Rules:
- Keys are in no message. Without any, obstore looks for them as usual: AWS_* variables, the role of the machine.
- A server that is away or answers 5xx is Unreachable, after a few quick retries: who waits longer is decided above
  (`database.retry_storage`). A refused key or a missing bucket is no reason to wait.
- Plain http is allowed where the endpoint says so: a server on this machine or in this cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from crawler.errors import StorageError, Unreachable
from crawler.system.text import escape_unprintable

TIMEOUT = timedelta(seconds=60)
CONNECT_TIMEOUT = timedelta(seconds=5)
RETRIES = 2
RETRY_FOR = timedelta(seconds=10)
LONGEST = 200
STATUS = re.compile(r"status code: ([0-9]{3})")
DETAILS = re.compile(r"<\?xml|\n")
"""Where the answer of the server and the internals of the client begin, which are long and may repeat the key."""
LATER = (408, 425, 429)


class Bucket:
    """The objects below `prefix` (without slashes at its ends) in a bucket. `endpoint` "": that of AWS in `region`.
    `key` and `secret` are those of AWS Signature Version 4, "" for none."""

    def __init__(self, name: str, prefix: str, endpoint: str, region: str, key: str, secret: str) -> None:
        self._name = f"s3://{name}/{prefix}"
        settings: Any = {"region": region, "virtual_hosted_style_request": False}
        if endpoint:
            settings["endpoint"] = endpoint
        if key:
            settings["access_key_id"] = key
            settings["secret_access_key"] = secret
        with self._errors():
            self._store = S3Store(
                name,
                prefix=prefix,
                config=settings,
                client_options={
                    "allow_http": endpoint.startswith("http://"),
                    "timeout": TIMEOUT,
                    "connect_timeout": CONNECT_TIMEOUT,
                },
                retry_config={"max_retries": RETRIES, "retry_timeout": RETRY_FOR},
            )

    def __str__(self) -> str:
        return self._name

    def put(self, path: str, content: bytes) -> None:
        """Write an object, complete or not at all; it replaces one of that name. Raises StorageError."""
        with self._errors():
            obstore.put(self._store, path, content, use_multipart=False)

    def get(self, path: str) -> bytes:
        """The content of an object. Raises KeyError where there is none, StorageError."""
        with self._errors():
            try:
                return bytes(obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                raise KeyError(path) from None

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; those that are not there do not matter. Raises StorageError."""
        with self._errors():
            for path in paths:
                try:
                    obstore.delete(self._store, path)
                except FileNotFoundError:
                    continue

    def objects(self, folder: str) -> list[str]:
        """The paths of all objects in a folder, sorted. Raises StorageError."""
        found: list[str] = []
        with self._errors():
            for objects in obstore.list(self._store, folder, chunk_size=1000):
                found += [str(one["path"]) for one in objects]
        return sorted(found)

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder, sorted. Raises StorageError."""
        with self._errors():
            listed = obstore.list_with_delimiter(self._store, folder)
        return sorted(path.rstrip("/").rpartition("/")[2] for path in listed["common_prefixes"])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Context manager: map errors of the client to one line with what to do."""
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise self._storage_error(error) from error

    def _storage_error(self, error: Exception) -> StorageError:
        text = str(error)
        answer = STATUS.search(text)
        status = int(answer[1]) if answer else 0
        if status in (401, 403) or isinstance(error, PermissionDeniedError | UnauthenticatedError):
            return StorageError(
                f"{self._name}: the server refuses access; see to store_key, store_secret and store_region"
            )
        if status == 404 or isinstance(error, FileNotFoundError):
            return StorageError(f"{self._name}: there is no such bucket; create it, or see to store")
        words = escape_unprintable(" ".join(DETAILS.split(text)[0].split()))[:LONGEST]
        if 400 <= status < 500 and status not in LATER:
            return StorageError(f"{self._name} cannot be used ({words})")
        return Unreachable(f"{self._name} cannot be reached ({words}); see that it runs, then resume")
