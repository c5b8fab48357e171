"""What the queries of several routes have in common."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from crawler.service.routing import Query

Cursor = Annotated[str, Meta(min_length=1, max_length=200)]
Limit = Annotated[int, Meta(ge=1, le=1000)]


class PageQuery(Query, frozen=True, kw_only=True):
    """One page of a list: the `cursor` is `next` of the page before."""

    cursor: Cursor | None = None
    limit: Limit = 100
