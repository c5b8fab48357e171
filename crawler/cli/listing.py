"""`list [FOLDER]`: the crawls in a folder, the latest last."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from crawler.cli.options import OUTPUT, with_options

if TYPE_CHECKING:
    from pathlib import Path

MOST = 10_000
"""Crawls that are listed; each is opened."""


class Listed(NamedTuple):
    """A crawl in a folder: `changed` in Unix seconds, `size` in bytes on disk. `error` says why it cannot be read.
    `generation` is the last one, whose state and pages these are."""

    out: str
    state: str
    pages: int | None
    changed: float
    size: int
    error: str = ""
    generation: int = 0


@click.command()
@click.argument("folder", metavar="[FOLDER]", default="crawls")
@with_options(OUTPUT[:1])
def list(folder: str, as_json: bool) -> int:
    """List the crawls in FOLDER: state, pages, when they last changed, size on disk.  [crawls]"""
    from datetime import UTC, datetime
    from pathlib import Path

    from crawler.cli.present import as_object
    from crawler.system.text import escape_unprintable, format_bytes

    found = crawls_in(Path(folder))
    if as_json:
        click.echo("".join(f"{as_object(one._asdict())}\n" for one in found), nl=False)
        return 0
    for one in found:
        when = datetime.fromtimestamp(one.changed, UTC)
        pages = "?" if one.pages is None else f"{one.pages:,}"
        click.echo(
            f"{when:%Y-%m-%d %H:%M} {pages:>11} pages {format_bytes(one.size):>9}  {escape_unprintable(one.out)}"
        )
        click.echo(
            f"{'':16} {escape_unprintable(one.error or one.state)}"
            ' + (f", generation {one.generation}" if one.generation else "")'
        )
    if not found:
        click.echo(f"no crawls in {escape_unprintable(folder)}")
    return 0


def crawls_in(folder: Path) -> tuple[Listed, ...]:
    """The crawls of a folder, by the time of their last change. Raises UsageError where it cannot be read or has more
    than MOST entries."""
    from crawler.errors import UsageError
    from crawler.storage.directory import CrawlDirectory

    try:
        entries = tuple(folder.iterdir())
    except FileNotFoundError:
        raise UsageError(f"there is no folder {folder}; name the one that holds your crawls") from None
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}; name a folder of crawls") from error
    if len(entries) > MOST:
        raise UsageError(f"{folder} has more than {MOST:,} entries; name a folder of crawls")
    return tuple(sorted((_listed(one) for one in entries if CrawlDirectory.exists(one)), key=lambda one: one.changed))


def _listed(path: Path) -> Listed:
    from crawler.errors import CrawlerError
    from crawler.metrics.summary import state
    from crawler.storage.directory import CrawlDirectory, come_to
    from crawler.storage.generations import last_of

    size, changed = _on_disk(path)
    try:
        crawl = CrawlDirectory.open_readonly(last_of(path))
        tally, pid = crawl.tally(), crawl.lock_owner()
        reached = come_to(crawl.manifest, tally) if pid is None else None
    except CrawlerError as error:
        return Listed(str(path), "cannot be read", None, changed, size, str(error))
    return Listed(str(path), state(reached, pid), tally.pages, changed, size, generation=crawl.generation)


def _on_disk(path: Path) -> tuple[int, float]:
    """The bytes that a folder takes, and when its last file changed (Unix seconds, 0: no file is left)."""
    from contextlib import suppress

    size, changed = 0, 0.0
    for one in path.rglob("*"):
        with suppress(OSError):  # a crawl that runs has just removed it
            stat = one.lstat()
            size, changed = size + 512 * stat.st_blocks, max(changed, stat.st_mtime)
    return size, changed
