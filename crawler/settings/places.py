"""Where a crawl keeps its URLs and pages: checks of the keys that name a database or an object store.

Rules:
- A password or key is given by reference only (`env:NAME`, `file:PATH`): the reference is kept with the crawl, so that
  every command finds the secret again, and the secret itself is nowhere.
- A URL that holds a password is refused, and not repeated in the message.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from crawler.errors import UsageError
from crawler.fetch.secrets import is_reference
from crawler.settings.keys import Settings

POSTGRES = ("postgresql://", "postgres://")
S3 = "s3://"
STORES = ("sqlite", "files")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]{0,512}")
"""The characters that every S3 server takes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""
SECRETS = ("frontier_password", "store_key", "store_secret")


def check_places(settings: Settings) -> None:
    """Raises UsageError for a frontier or store that cannot be, and for a secret that is not given by reference."""
    for key in SECRETS:
        if (said := getattr(settings, key)) and not is_reference(said):
            raise UsageError(f"bad value for {key}: expected env:NAME or file:PATH, not the secret itself")
    if settings.frontier != "sqlite":
        _check_database(settings.frontier)
    if settings.store.startswith(S3):
        bucket, _, prefix = settings.store.removeprefix(S3).partition("/")
        if not BUCKET.fullmatch(bucket) or not PREFIX.fullmatch(prefix) or {"", ".", ".."} & set(_segments(prefix)):
            raise UsageError(f"bad value for store = {settings.store!r}: expected s3://BUCKET or s3://BUCKET/PREFIX")
    elif settings.store not in STORES:
        raise UsageError(
            f"bad value for store = {settings.store!r}: expected one of {', '.join(STORES)}, or s3://BUCKET/PREFIX"
        )
    if settings.store_endpoint:
        _check_endpoint(settings.store_endpoint)
    if bool(settings.store_key) != bool(settings.store_secret):
        raise UsageError("store_key and store_secret go together: give both, or none")


def _segments(prefix: str) -> list[str]:
    return prefix.removesuffix("/").split("/") if prefix else []


def _check_database(url: str) -> None:
    if not url.startswith(POSTGRES):
        raise UsageError("bad value for frontier: expected sqlite, or postgresql://[USER@]HOST[:PORT]/DATABASE")
    try:
        parts = urlsplit(url)
        secret = parts.password is not None or "password" in parse_qs(parts.query, keep_blank_values=True)
    except ValueError:
        raise UsageError("bad value for frontier: expected postgresql://[USER@]HOST[:PORT]/DATABASE") from None
    if secret:
        raise UsageError(
            "bad value for frontier: it holds a password, which would be kept with the crawl; leave it out and set"
            " frontier_password to env:NAME or file:PATH"
        )


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        fits = fits and not parts.query and not parts.fragment and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise UsageError("bad value for store_endpoint: expected http://HOST:PORT or https://HOST:PORT")
