"""Scope: which URLs belong to the crawl.

Rules:
- A URL is admitted by its path where the page that names it is parsed, and by its host where the crawl decides.
- `include` and `exclude` are regular expressions searched in the path (percent-encoded, without the query). Some
  include must match where there are any, no exclude may.
- "host" means the hosts of the seeds, scheme and port included. "site" means those and, for a seed without a port, the
  same name under http and https, with and without "www.": what people take for one site. A seed with a port is one
  server, so there both are the same. "domain" means every host that shares a registrable domain with a seed, see
  crawler/core/urls/domains.py.
- The host that a seed redirects to joins as one host, whatever its domain.
- `url_filter` is a function of the user that sees the whole URL. It judges every link and redirect that is within the
  rest of the scope, where the crawl decides; no seed. So it is the same for every engine.
- `left_out` reports whether a host that is not ours differs from one of ours only in its scheme or "www.".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from crawler.core.reasons import NotFollowed
from crawler.core.rules import Rules
from crawler.core.urls.canonical import canonical, host_of, path_of
from crawler.core.urls.domains import domain_of


class Scope:
    """The URLs that are ours: `rules` applied to the hosts of `seeds`.

    Raises ValueError, in one line, where an include or exclude is not a valid regular expression.
    """

    def __init__(self, rules: Rules, seeds: Iterable[str]) -> None:
        self.url_filter: Callable[[str], bool] | None = None
        self._reach = rules.scope
        self._include = [_compile("include", text) for text in rules.include]
        self._exclude = [_compile("exclude", text) for text in rules.exclude]
        self._hosts = {host_of(url) for url in map(canonical, seeds) if url is not None}
        if rules.scope == "site":
            self._hosts = {other for host in self._hosts for other in _site_of(host)}
        self._names = {bare_host(host) for host in self._hosts}
        self._domains = {domain_of(host) for host in self._hosts} if rules.scope == "domain" else set()

    def admits_path(self, url: str) -> bool:
        """Whether the path of a canonical URL is within the rules, whatever its host."""
        if not self._include and not self._exclude:
            return True
        path = path_of(url)
        for pattern in self._exclude:  # plain loops: each new link of a page comes through here
            if pattern.search(path):
                return False
        for pattern in self._include:
            if pattern.search(path):
                return True
        return not self._include

    def admits_host(self, host: str) -> bool:
        """Whether a host, "scheme://name[:port]", is ours."""
        if self._reach == "any" or host in self._hosts:
            return True
        return self._reach == "domain" and domain_of(host) in self._domains

    def join(self, host: str) -> None:
        """Add one more host."""
        self._hosts.add(host)
        self._names.add(bare_host(host))

    def left_out(self, host: str) -> NotFollowed:
        """Why a link to a host that is not ours is not followed."""
        near = bare_host(host) in self._names
        return NotFollowed.OUT_OF_SCOPE_BY_SCHEME if near else NotFollowed.OUT_OF_SCOPE


def bare_host(host: str) -> str:
    """A host without its scheme and "www."."""
    return host.partition("://")[2].removeprefix("www.")


def _site_of(host: str) -> tuple[str, ...]:
    """The hosts that make a site with this one."""
    name = host.partition("://")[2]
    if name.startswith("["):
        names = {name} if name.endswith("]") else set()
    elif ":" in name:
        names = set()
    elif name.rpartition(".")[2].isdigit():  # an address
        names = {name}
    else:
        bare = name.removeprefix("www.")
        names = {name, bare, f"www.{bare}"} if "." in bare else {name}
    return (host, *(f"{scheme}://{one}" for one in names for scheme in ("http", "https")))


def _compile(key: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{key}: {text!r} is not a valid regular expression: {error}") from None
