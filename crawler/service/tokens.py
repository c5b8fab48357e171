"""The tokens of the API.

Rules:
- A secret has 256 random bits and is shown once. Of it a SHA-256 is stored: for a secret that nobody can guess a slow
  hash would protect nothing.
- The first token lies in `DATA/token`, readable by its owner alone. It is made where that file is missing; where the
  database does not know the one in the file (it was rebuilt), it is taken over. Revoking it removes the file.
- The stored hash and that of what came are compared in constant time.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from time import time

from crawler.service.errors import Conflict, NotFound
from crawler.service.records import NewToken, StoredToken, TokenRecord, TokenScope
from crawler.service.run_journal import RunJournal
from crawler.storage.database import storage_errors

FILE = "token"
FIRST = "first"
SECRET = re.compile(r"[\w-]{20,200}", re.ASCII)


class Tokens:
    """The tokens in the database of a journal; the first one lies in `folder`."""

    def __init__(self, journal: RunJournal, folder: Path) -> None:
        self._journal = journal
        self._tokens = journal.database.tokens
        self._file = folder / FILE
        self._known: list[StoredToken] | None = None  # every request asks

    def ensure_first(self) -> Path:
        """See to it that the file has a valid token; returns its path. Raises StorageError."""
        with storage_errors(self._file):
            secret = self._file.read_text(encoding="ascii", errors="replace").strip() if self._file.exists() else ""
            if not SECRET.fullmatch(secret):
                secret = secrets.token_urlsafe(32)
                self._file.unlink(missing_ok=True)
                descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "w", encoding="ascii") as file:
                    file.write(f"{secret}\n")
        if not self._tokens.where(hash=_hash(secret)):
            with self._journal.transaction():
                self._tokens.remove(token.id for token in self._tokens.where() if token.name == FIRST)
                self._tokens.put(self._new(FIRST, "admin", secret))
        return self._file

    def all(self) -> list[TokenRecord]:
        """Every token, without its hash."""
        return [_shown(token) for token in self._tokens.where()]

    def add(self, name: str, scope: TokenScope) -> NewToken:
        """A new token, with its secret. Raises Conflict where the name is taken."""
        if any(token.name == name for token in self._tokens.where()):
            raise Conflict(f"there is a token {name} already; choose another name", "exists")
        secret = secrets.token_urlsafe(32)
        token = self._new(name, scope, secret)
        with self._journal.transaction():
            self._tokens.put(token)
        self._known = None
        return NewToken(_shown(token), secret)

    def revoke(self, key: str) -> None:
        """Refuse a token from now on. Raises NotFound."""
        token = self._tokens.get(key)
        if token is None:
            raise NotFound("token", key)
        with self._journal.transaction():
            self._tokens.remove([key])
        self._known = None
        with suppress(OSError):
            if compare_digest(_hash(self._file.read_text(encoding="ascii").strip()), token.hash):
                self._file.unlink()

    def scope_of(self, digest: str) -> TokenScope | None:
        """What the token with this SHA-256 (in hexadecimal) may do; None where there is none."""
        found: TokenScope | None = None
        if self._known is None:
            self._known = self._tokens.where()
        for token in self._known:
            if compare_digest(token.hash, digest):
                found = token.scope
        return found

    def _new(self, name: str, scope: TokenScope, secret: str) -> StoredToken:
        key = self._journal.make_id("tok")
        return StoredToken(id=key, name=name, scope=scope, created_at=time(), hash=_hash(secret))


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _shown(token: StoredToken) -> TokenRecord:
    return TokenRecord(token.id, token.name, token.scope, token.created_at)
