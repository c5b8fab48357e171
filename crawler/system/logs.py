"""Structured logging: one line of ASCII JSON per record, on stderr, from our code and from libraries.

Rules:
- Libraries log and warn too (a broken TLS record, a header they could not parse), and quote what a server sent. All
  that would reach stderr directly becomes a record like ours: JSON escapes every control character, so no server can
  move a cursor or forge a line.
- This holds for our own processes, the command line and its workers. A program that embeds the crawler keeps its own
  logging.
- structlog is imported with the first record: a short crawl never waits for it.
"""

from __future__ import annotations

import sys
import threading
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from crawler.system.stderr import Lines
from crawler.system.threads import NO_LOCK

if TYPE_CHECKING:
    from logging import LogRecord


def open_log() -> Any:
    """A structlog logger: `.info(event, **facts)` and the like. A record for which stderr has no room is lost."""
    import structlog

    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    chain: list[Any] = [structlog.processors.add_log_level, stamp, structlog.processors.JSONRenderer()]
    return structlog.wrap_logger(structlog.WriteLogger(cast(TextIO, Lines())), processors=chain)


def capture_library_logs() -> None:
    """From now on libraries, warnings and uncaught exceptions of this process write records too."""
    import logging

    class Records(logging.Handler):
        def emit(self, record: LogRecord) -> None:
            with suppress(Exception):  # no memory for the record, a lock or an import: the record is lost
                say = open_log().error if record.levelno >= logging.ERROR else open_log().warning
                say(record.getMessage(), logger=record.name, **_cause(record.exc_info))

    logging.lastResort = Records(logging.WARNING)  # used only where no handler is configured
    warnings.showwarning = _warned
    threading.excepthook = sys.unraisablehook = _failed


def _warned(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    import logging

    logging.getLogger("py.warnings").warning("%s: %s", category.__name__, message)


def _failed(failed: Any) -> None:
    """Called by the interpreter for an uncaught exception of a thread and for an unraisable one."""
    if failed.exc_type in (SystemExit, MemoryError) or failed.exc_value is None or NO_LOCK in str(failed.exc_value):
        return  # the code that waits for that thread reports in one line that no memory is left
    try:
        import logging

        cause = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        logging.getLogger("crawler").error("nobody caught this", exc_info=cause)
    except Exception:  # no memory for the record
        return


def _cause(error: Any) -> dict[str, str]:
    """The exception of a record, on one line like the rest."""
    import traceback

    return {"exception": "".join(traceback.format_exception(*error))} if error and error[0] else {}
