"""The cost model of a comparison, fitted anew or read from a file; one file is in the package."""

from __future__ import annotations

from pathlib import Path

import msgspec

from crawler.compare.advise.fit import fit_session
from crawler.compare.advise.fitted import CostModel
from crawler.compare.session_files import read_session, read_trials
from crawler.errors import Corrupt, UsageError

SHIPPED = Path(__file__).with_name("standard.json")


def shipped() -> CostModel:
    """The model in the package. Raises UsageError where it is missing, Corrupt."""
    if not SHIPPED.is_file():
        raise UsageError("no cost model is in this package: name a comparison of yours with --from DIR")
    return _read(SHIPPED)


def model_of(path: Path) -> CostModel:
    """The model of the comparison in a folder, or in a file that was written. Raises UsageError where the folder is not
    of a comparison or has no trials, Corrupt."""
    if path.is_file():
        return _read(path)
    return _fitted(path)


def _fitted(folder: Path) -> CostModel:
    session, trials = read_session(folder), read_trials(folder)
    if session.site:
        raise UsageError(f"{folder} is of a real site, where nothing is varied; name one on our own webs")
    if not any(trial.valid for trial in trials):
        raise UsageError(f"{folder} has no valid trials yet; go on with it: compare resume {folder}")
    return fit_session(session, trials)


def _read(path: Path) -> CostModel:
    try:
        return msgspec.json.decode(path.read_bytes(), type=CostModel)
    except msgspec.DecodeError as error:
        raise Corrupt(f"{path} is not a cost model: {error}") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def write_model(model: CostModel, path: Path) -> None:
    """Write a model to a file. Raises UsageError where it cannot be written."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
