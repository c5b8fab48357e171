"""Whether the `lastmod` of a host's sitemaps can be trusted.

Rules, and why:
- A host is trusted once its lastmod has moved for at least LEAST visited pages, and the content had then changed in at
  least SHARE of them. Many servers write the time of the request, or of the last deployment, into every entry.
- An untrusted host's lastmod decides nothing. A trusted one makes a page due at once where it moved, and never puts a
  page off: a change that a sitemap does not tell is common.
- The counts are halved at MOST, so that a host which starts to lie loses its trust.
"""

from __future__ import annotations

import msgspec

LEAST = 5
SHARE = 0.8
MOST = 200


class LastmodScore(msgspec.Struct, frozen=True):
    """How often the lastmod of a host's pages moved, and how often the content had changed then."""

    moved: int = 0
    changed: int = 0

    def after(self, moved: bool, changed: bool) -> LastmodScore:
        """The score after one more visit to a page with a lastmod; one that did not move tells nothing."""
        if not moved:
            return self
        halve = 2 if self.moved >= MOST else 1
        return LastmodScore(self.moved // halve + 1, self.changed // halve + changed)

    @property
    def trusted(self) -> bool:
        """Whether a lastmod that moved makes a page due."""
        return self.moved >= LEAST and self.changed >= SHARE * self.moved
