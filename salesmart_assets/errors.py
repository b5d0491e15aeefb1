"""Every error that salesmart raises on purpose.

A message says what went wrong, where (bucket, key, row, column) and what to do. The command line prints it as one
sentence; Dagster shows it as the first line of a failed step. The three kinds tell a caller whether to try again.
"""

from __future__ import annotations

from pathlib import Path
from traceback import extract_tb


class SalesmartError(Exception):
    """The root of all errors that salesmart raises on purpose."""


class Retryable(SalesmartError):
    """It may pass: the same call can be tried again later (throttling, a lost connection, a held lease)."""


class Permanent(SalesmartError):
    """It will not pass by itself: somebody must change something first."""


class OutcomeUnknown(SalesmartError):
    """The call may or may not have taken effect: look before trying again."""


class UsageError(Permanent):
    """A wrong option, setting or file named by the person who called: exit code 2."""


class Unreachable(Permanent):
    """S3 or the database does not answer, or refuses the credentials: exit code 2."""


class ContractError(Permanent):
    """A contract file that says something impossible; the message names file, place and fix."""


class CommitConflict(Retryable):
    """Somebody else committed to the table since it was read; nothing of ours became visible."""


class LeaseLost(Retryable):
    """Another process took the writer's lease over; this one must not commit any more."""


class AuditFailed(Permanent):
    """A blocking check failed on files that are not yet committed; the tables are as they were."""


class SourceFileGone(Permanent):
    """A file that a rebuild needs is no longer where the ledger says it is; the tables are as they were."""


def without_data(error: Exception) -> str:
    """What an error says to logs and messages that leave the machine: nothing that may quote a row of a file.

    The errors of this module are written so. Of any other only its kind and the place in the code are told.

    >>> without_data(UsageError("No such month."))
    'No such month.'
    >>> without_data(ValueError("could not convert 'Ann Smith'"))
    'ValueError'
    """
    if isinstance(error, SalesmartError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    frames = extract_tb(error.__traceback__)
    mine = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parent)]
    place = f" at {Path(mine[-1].filename).relative_to(Path(__file__).parent)}, line {mine[-1].lineno}" if mine else ""
    return f"{type(error).__name__}{place}"
