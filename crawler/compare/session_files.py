"""A comparison on disk: `session.json` has the plan and the environment, `preregistration.json` the same with the rules
of the analysis (see preregistration), `trials.jsonl` one line per recorded trial.

A trial is written and synced before the next one begins, so no crash loses a measurement; a last line cut short by a
kill is ignored, and its trial runs again.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from crawler.compare.preregistration import FILE, encoded, registered
from crawler.compare.records import Session, Trial
from crawler.errors import Corrupt, UsageError

FORMAT = 3
SESSION, TRIALS = "session.json", "trials.jsonl"


def begin(folder: Path, session: Session) -> None:
    """Create the folder of a session, and fix it. Raises UsageError where it is not empty, OSError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        hint = f"; go on with it: compare resume {folder}" if (folder / SESSION).is_file() else ""
        raise UsageError(f"{folder} is there already{hint}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(encoded(session))
    beside = folder / f".{SESSION}"
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(registered(session))) + b"\n")
    beside.replace(folder / SESSION)


def read_session(folder: Path) -> Session:
    """The session of a folder. Raises UsageError where there is none, Corrupt where it cannot be read."""
    try:
        session = msgspec.json.decode((folder / SESSION).read_bytes(), type=Session)
    except OSError as error:
        raise UsageError(f"{folder} is not a comparison: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise Corrupt(f"{folder / SESSION} cannot be read: {error}") from error
    if session.format != FORMAT:
        raise UsageError(f"{folder} has format {session.format}; this version reads {FORMAT}")
    return session


def whole_lines(folder: Path) -> bytes:
    """The recorded trials as they are stored, without an incomplete last line."""
    path = folder / TRIALS
    raw = path.read_bytes() if path.exists() else b""
    return raw[: raw.rfind(b"\n") + 1]


def read_trials(folder: Path) -> list[Trial]:
    """The recorded trials. Raises Corrupt."""
    try:
        return msgspec.json.Decoder(Trial).decode_lines(whole_lines(folder))
    except msgspec.DecodeError as error:
        raise Corrupt(f"{folder / TRIALS} cannot be read: {error}") from error


def drop_incomplete_line(folder: Path) -> None:
    """Remove an incomplete last line, so that another one can be appended."""
    if (folder / TRIALS).exists():
        os.truncate(folder / TRIALS, len(whole_lines(folder)))


def append(folder: Path, trial: Trial) -> None:
    """Record a trial durably."""
    with (folder / TRIALS).open("ab") as file:
        file.write(msgspec.json.encode(trial) + b"\n")
        file.flush()
        os.fsync(file.fileno())
