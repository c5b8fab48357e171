"""`python -m crawler`: runs the command line and ends with its exit code.

Exit codes: 0 complete or incomplete; 1 stopped by a limit; 2 a command line, configuration, URL or path that cannot be
used; 3 store, disk, frontier or lock, and bugs of ours; 4 nothing could be fetched, or a condition of `fail_on` holds;
129, 130, 143 stopped by SIGHUP, SIGINT, SIGTERM; 141 the reader of stdout went away.

Rules:
- An error is one line on stderr. CRAWLER_DEBUG=1 shows the traceback too.
- Imports are lazy, because worker processes import this module again.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from crawler.cli.signals import Signals

NOT_INSTALLED = 2
BUG = 3
INTERRUPTED = 130
BROKEN_PIPE = 141
NO_MEMORY_AT_ALL = b"error: no memory is left; raise the limit, then resume\n"


def main() -> None:
    """Run the command line and end the process."""
    try:
        from crawler.cli.signals import Signals

        signals = Signals()
        signals.install()  # first, so that an interrupted crawl reports it from here on
        _open_streams()
        code = _run(signals)
    except BaseException as error:
        code = _explain_despite_shortage(error)
    _end(code)


def _open_streams() -> None:
    """Open closed standard streams on /dev/null; otherwise the next file opened would become stdout."""
    import os
    import sys

    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _run(signals: Signals) -> int:
    """Run the command, or answer a shell that completes one; returns its exit code."""
    import os
    import sys
    from pathlib import Path

    from click.exceptions import Exit

    from crawler.cli.group import cli

    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if instruction := os.environ.get("_CRAWLER_COMPLETE"):
        from crawler.cli.completion import answer

        return answer(cli, instruction)
    name = Path(sys.argv[0]).name
    name = "python -m crawler" if name.startswith("__main__") else name
    try:
        with cli.make_context(name, sys.argv[1:], obj=signals) as context:
            code = cli.invoke(context)
    except Exit as end:  # --help
        code = end.exit_code
    sys.stdout.flush()
    return code or 0


def _explain_despite_shortage(error: BaseException) -> int:
    """`_explain`; where memory is short, free the frames of the traceback and print a fixed line instead."""
    try:
        return _explain(error)
    except MemoryError:
        import os
        from traceback import clear_frames

        clear_frames(error.__traceback__)
        os.write(2, NO_MEMORY_AT_ALL)
        return BUG


def _explain(error: BaseException) -> int:
    """Print the error in one line; returns its exit code."""
    import os
    import sys
    from traceback import format_exception

    if isinstance(error, ModuleNotFoundError):  # the imports below may need the same module
        print(f"error: {error}: install the crawler for {sys.executable}, see README.md", file=sys.stderr)
        return NOT_INSTALLED

    from click import ClickException

    from crawler.errors import NO_MEMORY_LEFT, CrawlerError, OutOfMemory
    from crawler.fetch.exhaustion import lacks_memory
    from crawler.settings import DEBUG
    from crawler.system.stderr import PATIENCE, write_nonblocking
    from crawler.system.text import escape_unprintable

    if os.environ.get(DEBUG):
        for line in "".join(format_exception(error)).splitlines():
            print(escape_unprintable(line), file=sys.stderr)
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else 0 if error.code is None else 2
        case KeyboardInterrupt():
            return INTERRUPTED
        case CrawlerError():
            text, code = str(error), error.exit_code
        case ClickException():
            text, code = error.format_message().replace("\n", " "), 2
        case BrokenPipeError():
            return BROKEN_PIPE
        case _ if lacks_memory(error):
            text, code = NO_MEMORY_LEFT, OutOfMemory.exit_code
        case OSError():
            text, code = f"{error.filename}: {error.strerror}" if error.filename else str(error), 3
        case _:
            text = f"this is a bug of the crawler: {type(error).__name__}: {error} ({DEBUG}=1 shows where)"
            code = BUG
    write_nonblocking(f"error: {escape_unprintable(text)}", PATIENCE)
    return code


def _end(code: int) -> None:
    """Exit at once, without joining threads: some may be stuck in a name look-up or on a dead disk."""
    import os
    import sys
    import threading

    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # the reader is gone; keep the interpreter from flushing again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
