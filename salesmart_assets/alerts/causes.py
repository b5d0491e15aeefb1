"""Causes: what people are told of, once each, and the words for it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

from salesmart_assets.alerts.outcomes import RunOutcome
from salesmart_assets.errors import SalesmartError
from salesmart_assets.ledger import File
from salesmart_assets.ledger.locations import Fault

Kind = Literal["run_failed", "check_failed", "look_failed", "rejected", "given_up", "late", "daily"]
MANY: dict[Kind, str] = {
    "run_failed": "causes stopped runs",
    "check_failed": "checks failed",
    "look_failed": "places cannot be looked at",
    "rejected": "causes of rejected rows and files",
    "given_up": "files were given up",
    "late": "batches are late",
    "daily": "days",
}
"""What several causes of a kind are called, after their number."""

_OF_ONE_BATCH = ("AuditFailed", "SourceFileGone")
"""Errors that are a batch's own: the next batch may be fine, and the same words about another batch are another cause."""
_CHECK_FAILED = "DagsterAssetCheckFailedError"
_PASSING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\b[0-9a-f]{12,}\b|\d+", re.IGNORECASE)
"""What differs between two tries of the same: identifiers, addresses, counts, times."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something to be told once.

    `key` makes it one: while a cause with this key is open, it is not told again. `scope`: the batch date whose success
    closes it, where a run's success does; empty for any batch's.
    """

    key: str
    kind: Kind
    title: str
    what: str
    where: str
    todo: str
    run_id: str = ""
    scope: str = ""


def of_run(outcome: RunOutcome) -> list[Cause]:
    """Why a run failed, and the checks that failed in it. A run that a check stopped is told as that check."""
    last = outcome.batch_dates[-1] if outcome.batch_dates else ""
    found = {
        (check.asset, check.name): Cause(
            f"check/{check.asset}/{check.name}/{last}",
            "check_failed",
            f"Check {check.name} of {check.asset} failed for {outcome.what}",
            check.sentence,
            f"{outcome.what}, table {check.asset}",
            "What comes after was not done, and the published marts are as they were. Mend the cause, then: salesmart run"
            if check.blocking
            else "The rest of the batch is loaded. Mend the cause; the sensor, or `salesmart run`, tries again.",
            outcome.run_id,
            last,
        )
        for check in outcome.checks
    }
    causes = list(found.values())
    if outcome.succeeded:
        return causes
    failures = [f for f in outcome.failures if f.error != _CHECK_FAILED or not any(check.blocking for check in outcome.checks)]
    for failure in failures:
        alone = failure.error in _OF_ONE_BATCH
        mark = _mark(failure.without_data)
        causes.append(
            Cause(
                f"run/{outcome.job}/{last}/{mark}" if alone else f"run//{mark}",
                "run_failed",
                f"{outcome.what[0].upper()}{outcome.what[1:]} failed",
                failure.without_data,
                f"{outcome.what}{f', step {failure.step}' if failure.step else ''}",
                "Mend the cause, then start it again from its page."
                if outcome.job
                else "The published marts are as they were. The sensor tries again; after mending the cause, so does: salesmart run",
                outcome.run_id,
                last if alone else "",
            )
        )
    return causes


def of_look(error: SalesmartError) -> Cause:
    """Why nothing could be looked for: no file is found, and no run begins, until that is mended."""
    return Cause(
        f"look/{_mark(str(error))}",
        "look_failed",
        "The landing zone or the ledger cannot be looked at",
        str(error),
        "the look for new files",
        "Nothing is loaded until this is mended, and nothing is lost. `salesmart doctor` asks each part.",
    )


def of_location(place: tuple[str, str, str], fault: Fault) -> Cause:
    """Why one of the places where a source lands cannot be looked at, while the others can. `place`: source, bucket, prefix."""
    source, bucket, prefix = place
    address = f"s3://{bucket}/{prefix}"
    return Cause(
        f"location/{source}/{bucket}/{prefix}",
        "look_failed",
        f"{address} cannot be looked at",
        fault.reason,
        f"{source}, at {address}, since {fault.since:%Y-%m-%d %H:%M} UTC",
        "The other places are looked at. `salesmart sources list` shows them all; `salesmart sources disable` takes one out.",
    )


def of_file(file: File) -> Cause:
    """A file that was rejected whole, or given up."""
    name = file.key.rsplit("/", 1)[-1]
    where = f"{file.address}, batch {file.batch_date}" if file.batch_date else file.address
    if file.outcome == "given_up":
        todo = f"Mend the cause, then rebuild the batch: salesmart run --date {file.batch_date}"
        return Cause(f"file/{file.identity}", "given_up", f"File {name} was given up", f"{file.reason}", where, todo, file.run_id or "")
    todo = "None of its rows counts. Have it put right and land it again under the same key: the new one takes its place."
    return Cause(f"file/{file.identity}", "rejected", f"File {name} was rejected whole", f"{file.reason}", where, todo, file.run_id or "")


def of_share(source: str, day: date, read: int, left: int) -> Cause:
    """Too many of a batch's rows were rejected; those that were mended are not among them."""
    return Cause(
        f"share/{source}/{day}",
        "rejected",
        f"{left / read:.1%} of the rows of {source} in batch {day} were rejected",
        f"{left:,} of {read:,} rows broke their contract. The others are loaded.",
        f"{source}, batch {day}",
        f"See why: salesmart rejects --source {source} --date {day}. `salesmart replay` takes mended rows back.",
    )


def of_delay(source: str, day: date, hours: float, there: str) -> Cause:
    """A batch that is not loaded at its deadline; `there` says what is known of it."""
    return Cause(
        f"late/{source}/{day}",
        "late",
        f"{source} of {day} did not come in time",
        f"{there} Its deadline was {hours:g} hours after the day began, in UTC.",
        f"{source}, batch {day}",
        "Ask who delivers it. It is loaded whenever it comes, and the reports are made anew.",
    )


def _mark(text: str) -> str:
    """The same for two texts that differ only in what passes."""
    return hashlib.sha256(_PASSING.sub("#", text).encode()).hexdigest()[:24]
