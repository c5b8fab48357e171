"""Which web: the parameters shared by the commands' options, a started process and a comparison."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import msgspec

from crawler.errors import UsageError
from crawler.testweb.document import AnyWeb
from crawler.testweb.flat import SIZE, FlatWeb
from crawler.testweb.parameters import PROFILES
from crawler.testweb.profile_web import ProfileWeb
from crawler.testweb.sitemap_web import SitemapWeb
from crawler.testweb.web import Web

Profile = Literal["demo", "lab", "real", "hostile"]
PROFILE_NAMES: tuple[str, ...] = get_args(Profile)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A web. `hosts` and `pages`: None is the profile's own; `numbers` are other parameters of a profile web.

    With `flat` it is the flat web of that many pages: `latency` in seconds with a sigma of `spread`, `size` in bytes,
    `errors` a share. `sitemaps`: the demo web with sitemaps.
    """

    profile: Profile = "demo"
    seed: int = 1
    hosts: int | None = None
    pages: int | None = None
    flat: int | None = None
    latency: float = 0.0
    spread: float = 0.0
    size: int = SIZE
    errors: float = 0.0
    numbers: dict[str, float] = {}
    tls: bool = False
    sitemaps: bool = False

    def make(self) -> AnyWeb:
        """Make the web. Raises UsageError where the parameters are invalid."""
        scheme = "https" if self.tls else "http"
        if self.sitemaps and (self.flat is not None or self.profile in PROFILES):
            raise UsageError("no such web: only the demo web has sitemaps")
        if self.flat is not None:
            return FlatWeb(self.flat, self.latency, self.size, self.errors, scheme, self.spread)
        wanted: dict[str, Any] = {"hosts": self.hosts, "pages": self.pages}
        scale = {name: value for name, value in wanted.items() if value is not None}
        try:
            if self.profile in PROFILES:
                numbers = PROFILES[self.profile].scaled(**scale, **self.numbers)
                return ProfileWeb(self.seed, numbers, f"{self.profile}.test", scheme)
            if self.tls or self.numbers:
                raise ValueError("the demo web has neither TLS nor parameters; choose another --profile")
            return SitemapWeb(self.seed, **scale) if self.sitemaps else Web(self.seed, **scale)
        except (ValueError, msgspec.ValidationError) as error:
            raise UsageError(f"no such web: {error}") from error

    def arguments(self) -> Iterator[str]:
        """The same choice as command-line options."""
        yield f"--profile={self.profile}"
        yield f"--seed={self.seed}"
        for name in ("hosts", "pages", "flat"):
            value = getattr(self, name)
            if value is not None:
                yield f"--{name}={value}"
        yield f"--latency={self.latency * 1000}"
        yield f"--spread={self.spread}"
        yield f"--size={self.size}"
        yield f"--errors={self.errors}"
        if self.sitemaps:
            yield "--sitemaps"
        for name, number in self.numbers.items():
            yield f"--set={name}={number}"
