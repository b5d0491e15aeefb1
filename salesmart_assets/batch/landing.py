"""Landing: which objects are there, which of them are new, and to which batch each belongs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Run
from salesmart_assets.contracts import SOURCES
from salesmart_assets.errors import Permanent, SourceFileGone
from salesmart_assets.faultpoints import reach
from salesmart_assets.landing.zone import InvalidBatchDate, LandedObject, batch_date_of
from salesmart_assets.ledger import File, Registration

_LISTED = 20


@dataclass(frozen=True, slots=True)
class Pending:
    """Work that waits: for each batch date, marks of what is pending (file identities with tries, slices)."""

    batches: dict[date, tuple[str, ...]]
    new_objects: int
    set_aside: tuple[File, ...]


def look(platform: Platform, sources: Iterable[str] = SOURCES) -> Pending:
    """Listing minus ledger, plus what the ledger knows to be unfinished. Objects without a valid batch date are rejected here."""
    marks: dict[date, set[str]] = {}
    invalid: list[tuple[LandedObject, str]] = []
    new = 0
    for source in sources:
        landed = list(platform.zone.objects(source))
        known = platform.ledger.known([o.identity for o in landed])
        for item in landed:
            if item.identity in known:
                continue
            day = _batch_date(platform, item)
            if isinstance(day, InvalidBatchDate):
                invalid.append((item, f"file.batch_date: {day.reason}"))
                continue
            new += 1
            marks.setdefault(day, set()).add(f"{item.identity}/0")
    set_aside = _set_aside(platform, invalid)
    for file in platform.ledger.files(status="A"):
        if file.batch_date is not None:
            marks.setdefault(file.batch_date, set()).add(f"{file.identity}/{file.attempts}")
    for stale in platform.ledger.pending():
        marks.setdefault(stale.batch_date or platform.today(), set()).add(stale.token)
    return Pending({day: tuple(sorted(marks[day])) for day in sorted(marks)}, new, tuple(set_aside))


def check_rebuild(platform: Platform, run: Run) -> None:
    """Raise `SourceFileGone` if a file of the batch is no longer where the ledger says it is, before anything is changed."""
    gone = []
    for file in platform.ledger.files(batch_date=run.batch_date, live_only=True):
        found = platform.zone.head(file.current_key, file.current_version_id)
        if found is None or found.etag != file.current_etag:
            gone.append(f"s3://{file.bucket}/{file.current_key}")
    if gone:
        named = ", ".join(gone[:_LISTED]) + (f" and {len(gone) - _LISTED} more" if len(gone) > _LISTED else "")
        raise SourceFileGone(
            f"Batch {run.batch_date} can't be rebuilt: {named} is gone or was changed. The tables are as they were. "
            "Put the object back, or land the file again: the new one supersedes it."
        )


def register(platform: Platform, source: str, run: Run) -> list[File]:
    """Enter the source's objects of the batch in the ledger; returns the files that this run is to read."""
    if not run.rebuild and platform.settings.on_unfinished == "block":
        _refuse_unfinished(platform, run)
    landed = [o for o in platform.zone.objects(source) if _batch_date(platform, o) == run.batch_date]
    platform.ledger.register([_registration(o, run.batch_date) for o in landed], run.run_id)
    if run.rebuild:
        check_rebuild(platform, run)
        live = platform.ledger.files(source=source, batch_date=run.batch_date, live_only=True)
        platform.ledger.reopen([f.file_id for f in live], run.run_id)
    files = platform.ledger.files(source=source, batch_date=run.batch_date, status="A", stages=("registered",))
    platform.ledger.attempt([f.file_id for f in files], run.run_id)
    reach("landing.registered", source)
    return [f for f in files if f.superseded_by is None]


def _refuse_unfinished(platform: Platform, run: Run) -> None:
    left = [f for f in platform.ledger.files(batch_date=run.batch_date, status="A") if f.run_id not in (None, run.run_id)]
    if left:
        named = ", ".join(f.address for f in left[:_LISTED])
        raise Permanent(
            f"An earlier run left {len(left)} files unfinished: {named}. SALESMART_ON_UNFINISHED is `block`: look at them, then "
            "run with SALESMART_ON_UNFINISHED=repair, which finishes them."
        )


def _batch_date(platform: Platform, item: LandedObject) -> date | InvalidBatchDate:
    return batch_date_of(item, platform.settings.first_batch_date, platform.today())


def _registration(item: LandedObject, day: date | None) -> Registration:
    return Registration(
        identity=item.identity,
        source=item.source,
        bucket=item.bucket,
        key=item.key,
        version_id=item.version_id,
        etag=item.etag,
        size=item.size,
        last_modified=item.last_modified,
        batch_date=day,
        dated_key=any(part.startswith("dt=") for part in item.key.split("/")[:-1]),
    )


def _set_aside(platform: Platform, invalid: list[tuple[LandedObject, str]]) -> list[File]:
    if not invalid:
        return []
    seen = [_registration(item, None) for item, _ in invalid]
    return platform.ledger.register(seen, None, {item.identity: reason for item, reason in invalid})
