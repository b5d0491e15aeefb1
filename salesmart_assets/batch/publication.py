"""Publication: all stale slices of marts and dimensions become visible in the database at once; then the batch is done."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from salesmart_assets.batch.locations import locations_of
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import RESTATED, Report, Run
from salesmart_assets.batch.warehouse import month_of
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS, ROLLUPS
from salesmart_assets.errors import Permanent, UsageError
from salesmart_assets.faultpoints import reach
from salesmart_assets.lake import Snapshot
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
        snapshots = _snapshots(platform)
        todo = platform.ledger.pending(TABLE)
        wanted = {_Slice(*item.slice.split("/", 1)) for item in todo}
        known = platform.publisher.published()
        wanted |= {item for item in _in_lake(snapshots) if (item.mart, item.name) not in known}
        unsettled = unsettled_months(platform)
        waiting = {item for item in wanted if item.name in unsettled}
        loads = [_load(platform, snapshots[item.mart], item.name) for item in _in_order(wanted - waiting)]
        platform.say(f"publication: {len(loads)} slices")
        _refuse_older(loads, known)
        lease.verify()
        done = platform.publisher.publish(loads, run.run_id)
        months = {load.slice for load in loads if load.slice != WHOLE}
        if months:
            platform.ledger.touch({"monthly_report": months, "daily_report": run.dates}, run.batch_date)
        platform.ledger.clear([item for item in todo if _Slice(*item.slice.split("/", 1)) not in waiting])
        closed = platform.ledger.close_finished(run.run_id)
        reach("files.closed")
    archived = archive_finished(platform)
    this_month = month_of(run.batch_date.isoformat())
    return Report(
        rows=sum(p.rows for p in done),
        bytes=sum(_part(snapshots[load.table.name], load.slice).size for load in loads),
        slices=tuple(f"{p.mart}/{p.slice}" for p in done),
        facts={
            "slices": len(done),
            "rows_changed": sum(p.changed_rows for p in done),
            "slices_left_to_another_batch": sorted(f"{item.mart}/{item.name}" for item in waiting),
            # The batch's own month grows every day; that one before it reads otherwise than it did is news.
            RESTATED: sorted({p.slice for p in done if p.changed_rows and WHOLE != p.slice < this_month and (p.mart, p.slice) in known}),
            "files_closed": len(closed),
            "files_archived": archived.moved,
            "archive_refused": list(archived.refused),
        },
    )


@dataclass(frozen=True, slots=True)
class Restored:
    """What comparing the whole database with the lake came to; `unsettled` months are in the middle of a batch and were left out."""

    slices: Sequence[Publication]
    unsettled: Sequence[str]

    @property
    def differed(self) -> list[Publication]:
        """The slices of which something had to be written or removed."""
        return [item for item in self.slices if item.changed_rows]


def restore(platform: Platform, run_id: str) -> Restored:
    """Compare every row of every mart and dimension in the database with the lake, and put right what differs, in one transaction.

    Nothing that the database says of itself is relied on. Raises `UsageError` if the lake has nothing to publish, and
    `Permanent` if the database shows something newer than the lake has.
    """
    with platform.ledger.writer.hold(waiting=platform.say) as lease:
        snapshots = _snapshots(platform)
        if not any(snapshot.rows for snapshot in snapshots.values()):
            raise UsageError(f"The lake at {platform.lake.root} has no marts yet, so nothing was published: is it the right one?")
        unsettled = unsettled_months(platform)
        wanted = {*_in_lake(snapshots), *(_Slice(*name) for name in platform.publisher.slices())}
        loads = [
            _load(platform, snapshots[item.mart], item.name, on_trust=False) for item in _in_order(wanted) if item.name not in unsettled
        ]
        _refuse_older(loads, platform.publisher.published())
        platform.say(f"publication: comparing {len(loads)} slices with the lake")
        lease.verify()
        return Restored(platform.publisher.publish(loads, run_id), sorted(unsettled))


def unsettled_months(platform: Platform) -> set[str]:
    """Months whose marts are not all made of the same sales, because another batch is between one and the next.

    To publish them would show readers a mixture; the batch that makes the rest publishes all of them.
    """
    marts, rollups = ([{item.slice for item in platform.ledger.pending(name)} for name in names] for names in (MARTS, ROLLUPS))
    # Sale dates that no rollup has yet are in none of the marts.
    partly = set[str]().union(*rollups) - rollups[0].intersection(*rollups)
    return {month_of(day) for day in partly}.union(*marts)


def _snapshots(platform: Platform) -> dict[str, Snapshot]:
    return {name: platform.lake.snapshot(name) for name in (*DIMENSIONS, *MARTS)}


def _in_lake(snapshots: Mapping[str, Snapshot]) -> set[_Slice]:
    months = {_Slice(name, month) for name in MARTS for month in snapshots[name].partitions("sales_month")}
    return months | {_Slice(name, WHOLE) for name in DIMENSIONS}


def _in_order(items: Collection[_Slice]) -> list[_Slice]:
    return sorted(items, key=lambda item: (item.mart, item.name))


def _load(platform: Platform, snapshot: Snapshot, name: str, *, on_trust: bool = True) -> SliceLoad:
    """A slice as the snapshot has it; `on_trust`, what was published before need not be compared row by row."""
    part = _part(snapshot, name)

    def earlier(version: int, files: str) -> pa.Table | None:
        before = platform.lake.earlier(snapshot.table.name, version)
        if before is None or _told_apart(_part(before, name)) != files:
            return None
        try:
            return _part(before, name).read()
        except (OSError, pl.exceptions.PolarsError):
            # Upkeep has removed files of that version: then the database is asked what stands.
            return None

    return SliceLoad(snapshot.table, name, snapshot.version, part.read, _told_apart(part), earlier if on_trust else None)


def _part(snapshot: Snapshot, name: str) -> Snapshot:
    return snapshot if name == WHOLE else snapshot.only("sales_month", [name])


def _told_apart(part: Snapshot) -> str:
    """A digest of the names of a slice's files: no two files of any lake have the same name."""
    return hashlib.sha256("\n".join(file.path for file in part.files).encode()).hexdigest()


def _refuse_older(loads: Iterable[SliceLoad], known: Mapping[tuple[str, str], int]) -> None:
    """Stop if the database shows later versions than the lake has: only a lake that was replaced or set back can be behind."""
    behind = [load for load in loads if known.get(load.name, -1) > load.lake_version]
    if behind:
        first = behind[0]
        later = known[first.name]
        raise Permanent(
            f"The database shows {first.table.name}/{first.slice} at version {later} of the lake's table, but this lake is only at "
            f"version {first.lake_version} ({len(behind)} slices): the lake was replaced or set back. Nothing was published over it. "
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
        moved = platform.zone.archive(landed, file.source, "error" if file.outcome == "rejected" else "processed", reason)
    except (ObjectGone, ObjectChanged):
        # Somebody took it away or put something new in its place: what is there now is not what was read, so it stays.
        return False
    reach("files.archived")
    platform.ledger.moved(file.file_id, *moved)
    return True
