"""Where a redirect may lead.

Rules:
- A redirect is a new URL through every check; nothing here follows it.
- A chain that comes back to a URL of its own is a loop: without cookies, a site that redirects until a cookie comes
  back would never end.
- A target is respelled as links are, unless that makes it a loop: a site may insist on its own spelling.
"""

from __future__ import annotations

from crawler.core.messages import Link
from crawler.core.reasons import Reason
from crawler.core.rules import Rules
from crawler.core.urls.normalization import normalizer
from crawler.core.urls.sitemap_steps import redirects_in

REDIRECTS = frozenset({301, 302, 303, 307, 308})


def after_redirect(link: Link, target: str, rules: Rules) -> tuple[Reason, str]:
    """How a redirect ends that leads to `target` (canonical, "" where it is no URL), and the spelling of the target to
    follow where the reason is REDIRECT."""
    if not target or len(target) > rules.max_url_length:
        return Reason.REDIRECT_INVALID, ""
    plain = normalizer(rules)(target)
    if plain != link.url and plain not in link.via:  # else the site insists on its own spelling
        target = plain
    if target == link.url or target in link.via:
        return Reason.REDIRECT_LOOP, ""
    return (Reason.REDIRECT_LIMIT if redirects_in(link.via) >= rules.max_redirects else Reason.REDIRECT), target
