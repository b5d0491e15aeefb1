"""Publication: all stale slices of marts and dimensions become visible in the database at once; then the batch is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from salesmart_assets.batch.locations import locations_of
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import RESTATED, Report, Run
from salesmart_assets.batch.warehouse import month_of
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS
from salesmart_assets.errors import Permanent
from salesmart_assets.faultpoints import reach
from salesmart_assets.landing.zone import BucketFault, LandedObject, ObjectChanged, ObjectDenied, ObjectGone
from salesmart_assets.ledger import File
from salesmart_assets.publish.publisher import Publication, SliceLoad
from salesmart_assets.publish.rows import WHOLE

TABLE = "publication"


@dataclass(frozen=True, slots=True)
class _Slice:
    mart: str
    name: str


def publish(platform: Platform, run: Run) -> Report:
    """Publish every stale slice, and every slice that the database lacks; then close and archive the finished files."""
    with platform.ledger.writer.hold(waiting=platform.say) as lease:
        snapshots = {name: platform.lake.snapshot(name) for name in (*DIMENSIONS, *MARTS)}
        todo = platform.ledger.pending(TABLE)
        wanted = {_Slice(*item.slice.split("/", 1)) for item in todo}
        known = platform.publisher.published()
        for name in MARTS:
            wanted |= {_Slice(name, m) for m in snapshots[name].partitions("sales_month") if (name, m) not in known}
        wanted |= {_Slice(name, WHOLE) for name in DIMENSIONS if (name, WHOLE) not in known}
        loads = []
        for item in sorted(wanted, key=lambda s: (s.mart, s.name)):
            snapshot = snapshots[item.mart]
            rows = (snapshot if item.name == WHOLE else snapshot.only("sales_month", [item.name])).read()
            loads.append(SliceLoad(platform.tables[item.mart], item.name, snapshot.version, rows))
        platform.say(f"publication: {len(loads)} slices")
        lease.verify()
        done = platform.publisher.publish(loads, run.run_id) if loads else []
        _refuse_newer(platform, loads, done)
        months = {load.slice for load in loads if load.slice != WHOLE}
        if months:
            platform.ledger.touch({"monthly_report": months, "daily_report": run.dates}, run.batch_date)
        platform.ledger.clear(todo)
        closed = platform.ledger.close_finished(run.run_id)
        reach("files.closed")
    archived = archive_finished(platform)
    this_month = month_of(run.batch_date.isoformat())
    return Report(
        rows=sum(p.rows for p in done),
        slices=tuple(f"{p.mart}/{p.slice}" for p in done),
        facts={
            "slices": len(done),
            "rows_changed": sum(p.changed_rows for p in done),
            # The batch's own month grows every day; that one before it reads otherwise than it did is news.
            RESTATED: sorted({p.slice for p in done if p.changed_rows and WHOLE != p.slice < this_month and (p.mart, p.slice) in known}),
            "files_closed": len(closed),
            "files_archived": archived.moved,
            "archive_refused": list(archived.refused),
        },
    )


def _refuse_newer(platform: Platform, loads: Sequence[SliceLoad], done: Sequence[Publication]) -> None:
    """Stop if the database shows later versions than the lake has: only a lake that was replaced or set back can be behind."""
    published = {(p.mart, p.slice) for p in done}
    known = platform.publisher.published()
    skipped = [load for load in loads if (load.table.name, load.slice) not in published]
    behind = [load for load in skipped if known.get((load.table.name, load.slice), -1) > load.lake_version]
    if behind:
        first = behind[0]
        later = known[first.table.name, first.slice]
        raise Permanent(
            f"The database shows {first.table.name}/{first.slice} at version {later} of the lake's table, but this lake is only at "
            f"version {first.lake_version} ({len(behind)} slices): the lake was replaced or set back. Nothing older is published over it. "
            "Publish this lake to a database of its own (SALESMART_DATABASE_URL), or restore the lake."
        )


@dataclass(frozen=True, slots=True)
class Archived:
    """How many objects were moved, and why the others of a bucket could not be, once for each bucket."""

    moved: int
    refused: tuple[str, ...]


def archive_finished(platform: Platform) -> Archived:
    """Move the objects of finished files to processed/ or error/, where that can be done without loss.

    Where a bucket refuses it, its objects stay, counted once as they are, and those of the others are moved.
    """
    if platform.settings.archive == "never":
        return Archived(0, ())
    locations = locations_of(platform)
    left = {place.place for place in locations.every if place not in locations.used} | platform.ledger.locations.faults().keys()
    moved = 0
    safe: dict[str, bool] = {}
    refused: dict[str, str] = {}
    for file in platform.ledger.unarchived():
        place = locations.holding(file)
        # Nothing is moved where a person disabled the place; of one that can't even be listed it is said already.
        if file.bucket in refused or (place is not None and place.place in left):
            continue
        try:
            if file.bucket not in safe:
                safe[file.bucket] = platform.settings.archive == "always" or platform.zone.can_archive_safely(file.bucket)
            moved += safe[file.bucket] and _archive(platform, file)
        except (ObjectDenied, BucketFault) as error:
            refused[file.bucket] = str(error)
            platform.say(f"Finished objects stay where they are: {error}")
    return Archived(moved, tuple(refused.values()))


def _archive(platform: Platform, file: File) -> bool:
    landed = LandedObject(file.source, file.bucket, file.key, file.version_id, file.etag, file.size, file.last_modified)
    reason = None
    if file.outcome == "rejected":
        reason = {
            "bucket": file.bucket,
            "key": file.key,
            "batch_date": str(file.batch_date),
            "reason": file.reason,
            "rows_read": file.rows_read,
        }
    try:
        key = platform.zone.archive(landed, file.source, "error" if file.outcome == "rejected" else "processed", reason)
    except (ObjectGone, ObjectChanged):
        # Somebody took it away or put something new in its place: what is there now is not what was read, so it stays.
        return False
    reach("files.archived")
    found = platform.zone.head(key, bucket=file.bucket)
    if found is not None:
        platform.ledger.moved(file.file_id, key, found.etag, found.version_id)
    return found is not None
