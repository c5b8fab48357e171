"""`export DIR`: one row per settled URL, with the content of its page if wanted, to stdout or to a file.

Rules:
- A regular file is created or replaced atomically, when it is complete; through a symlink, the target is.
- Any other file (a device, a FIFO) is written in place, because renaming a file over it would destroy it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crawler.cli.options import GENERATION, with_options
from crawler.cli.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@click.command()
@click.argument("directory", metavar="DIR")
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write here, not to stdout.")
@click.option("--fields", metavar="NAMES", help="Only these, as url,title,linked_from.  [what needs no page]")
@click.option("--where", multiple=True, metavar="COND", help="Only rows with reason=ok, status>=400 ... Repeatable.")
@click.option("--bodies", metavar="FOLDER", help="Write the bodies there as files, too; body_file names them.")
@with_options(GENERATION)
@click.pass_obj
def export(
    signals: Signals,
    /,
    directory: str,
    kind: str,
    output: str | None,
    fields: str | None,
    where: tuple[str, ...],
    bodies: str | None,
    generation: int | None,
) -> int:
    """Write one row per settled URL of the crawl in DIR.

    \b
    Fields: url, status, reason, depth, fetched_at, content_type, digest,
    length, attempts, seconds, truncated, detail, redirect_target; of stored
    pages title, headers, text, body, body_file; and linked_from: the first
    5 pages, in the order of URLs, that link there.
    """
    import sys
    from pathlib import Path

    from crawler.errors import StorageError, UsageError
    from crawler.storage.export import COLUMNS, NUMBERS, as_csv, as_jsonl, fields_of, records
    from crawler.storage.row_filter import condition
    from crawler.storage.stored_crawl import open as open_crawl

    names = fields_of(fields, bodies is not None)
    conditions = [condition(text, COLUMNS, NUMBERS) for text in where]
    # not closed: it ends with the process, and closing would disturb the rows that a broken pipe leaves unread
    rows = records(open_crawl(directory, generation), names, conditions, Path(bodies) if bodies is not None else None)
    lines = as_csv(rows, names) if kind == "csv" else as_jsonl(rows)
    if output is None or output == "-":
        sys.stdout.buffer.writelines(line.encode() for line in lines)
        return 0
    path = Path(output)
    if path.is_dir():
        raise UsageError(f"cannot write {output}: it is a directory; name a file in it with -o")
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8", newline="") as file:
                file.writelines(lines)
            return 0
        signals.hold()
        return _write_beside(path, lines, signals)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {output}: {error.strerror or error}; choose another file with -o") from error


def _write_beside(path: Path, lines: Iterable[str], signals: Signals) -> int:
    """Write a temporary file and rename it, so that the result is complete or absent. Raises OSError."""
    import os
    from pathlib import Path
    from shutil import copymode

    real = Path(os.path.realpath(path))
    beside = real.with_name(f".{real.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            if real.exists():
                copymode(real, beside)
            for line in lines:
                if signals.received:
                    return signals.exit_code
                file.write(line)
        beside.replace(real)
        return 0
    finally:
        beside.unlink(missing_ok=True)
