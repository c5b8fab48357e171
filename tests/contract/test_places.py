"""The keys that say where a crawl keeps its URLs and pages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crawler.errors import UsageError
from crawler.settings import Settings, merge_layers
from crawler.storage import opening
from crawler.storage.manifest import differing


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"frontier": "mysql://h/d"}, "postgresql://"),
        ({"frontier": "postgresql://u:hidden@h/d"}, "frontier_password"),
        ({"frontier": "postgresql://h/d?password=hidden"}, "frontier_password"),
        ({"frontier": "postgresql://[h/d"}, "postgresql://"),
        ({"frontier_password": "hidden"}, "env:NAME or file:PATH"),
        ({"store_key": "hidden", "store_secret": "env:S"}, "env:NAME or file:PATH"),
        ({"store_key": "env:K"}, "go together"),
        ({"store": "s3://"}, "s3://BUCKET"),
        ({"store": "s3://Upper/x"}, "s3://BUCKET"),
        ({"store": "s3://bucket//x"}, "s3://BUCKET"),
        ({"store": "s3://bucket/../x"}, "s3://BUCKET"),
        ({"store": "s3://bucket/a b"}, "s3://BUCKET"),
        ({"store": "gs://bucket"}, "sqlite, files, or s3://"),
        ({"store_endpoint": "ftp://h"}, "store_endpoint"),
        ({"store_endpoint": "http://key:hidden@h"}, "store_endpoint"),
        ({"store_endpoint": "http://h:port"}, "store_endpoint"),
    ],
)
def test_what_cannot_be_is_refused_and_a_secret_is_not_repeated(layer: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        merge_layers(layer)
    assert "hidden" not in str(caught.value)


def test_places_are_kept_with_the_references_and_without_the_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("P", "K", "S"):
        monkeypatch.setenv(name, "hidden")
    settings = merge_layers(
        {
            "frontier": "postgresql://u@h1:5432,h2/d?sslmode=require",
            "frontier_password": "env:P",
            "store": "s3://bucket/a/b/",
            "store_endpoint": "https://s3.test:9000",
            "store_key": "env:K",
            "store_secret": "env:S",
        }
    )
    kept = differing(settings)
    assert msgspec.convert(kept, Settings).frontier == settings.frontier
    assert "hidden" not in str(kept) + repr(settings)
    assert kept["frontier_password"] == "env:P"


def test_a_missing_package_is_named_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    opening.check_packages(Settings())
    with pytest.raises(UsageError, match=r"crawler-engines\[postgres\]"):
        opening.check_packages(Settings(frontier="postgresql://h/d"))
    with pytest.raises(UsageError, match=r"crawler-engines\[s3\]"):
        opening.check_packages(Settings(store="s3://bucket"))
