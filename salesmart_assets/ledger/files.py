"""Every file ever seen, and what became of it.

A file is `A` (begun, not finished) from the moment it is registered until its rows are published and nothing that it
touched is pending; then it is `I`. Rows read are always rows accepted + rejected + duplicate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

import sqlalchemy as sa

from salesmart_assets.errors import Retryable
from salesmart_assets.ledger import schema, slices
from salesmart_assets.ledger.lease import WriterLease
from salesmart_assets.ledger.locations import SourceLocations
from salesmart_assets.ledger.schema import content_claim, duplicate_rows, ingest_file
from salesmart_assets.ledger.slices import PendingSlice

REPORT_TABLES = ("daily_report", "monthly_report")
"""Pending reports keep no file open: what they show is already published."""

_CHUNK = 500
_REGISTER_TRIES = 3


@dataclass(frozen=True, slots=True)
class Registration:
    """An object seen in the landing zone, as it enters the ledger."""

    identity: str
    source: str
    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    last_modified: datetime
    batch_date: date | None
    dated_key: bool


@dataclass(frozen=True, slots=True)
class File:
    """A row of the ledger."""

    file_id: int
    identity: str
    key_hash: str
    source: str
    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    last_modified: datetime
    current_key: str
    current_etag: str
    current_version_id: str | None
    batch_date: date | None
    status: str
    stage: str
    outcome: str | None
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    rows_duplicate: int
    rows_staged: int
    control_sums: str | None
    content_hash: str | None
    duplicate_of: int | None
    superseded_by: int | None
    replay_of: int | None
    header: str | None
    format: str | None
    rejected_files: str | None
    delta_version: int | None
    attempts: int
    run_id: str | None
    reason: str | None
    first_seen: datetime
    updated_at: datetime
    finished_at: datetime | None

    @property
    def mark(self) -> str:
        """What the names of its data files begin with: of its identity, so that a ledger that begins anew mistakes no file for another."""
        return self.identity[:24]

    @property
    def address(self) -> str:
        """Landing address, as shown to people and kept as `source_file` in the rows."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class FileResult:
    """What staging found out about a file."""

    file_id: int
    outcome: str
    reason: str | None
    format: str | None
    content_hash: str | None
    rows_read: int = 0
    rows_accepted: int = 0
    rows_rejected: int = 0
    rows_duplicate: int = 0
    rows_staged: int = 0
    duplicate_of: int | None = None
    rejected_files: str | None = None
    header: tuple[str, ...] = ()
    control_sums: str | None = None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a look at pending work needs of a file that is not done.

    `content_hash`: None if it was never read. `live`: no newer object under its key. `updated_at`: in UTC.
    """

    identity: str
    source: str
    bucket: str
    key: str
    content_hash: str | None
    batch_date: date | None
    stage: str
    attempts: int
    live: bool
    updated_at: datetime


class Ledger:
    """The ledger in its database. Every method is one transaction.

    `last_number` is asked when the first file of all is entered: numbers begin after it. A ledger that begins anew over an
    older lake so gives no file a number that rows of another one carry.
    """

    def __init__(self, engine: sa.Engine, lease_seconds: float = 60, last_number: Callable[[], int] = lambda: 0) -> None:
        self.engine = engine
        self._last_number = last_number
        self.writer = WriterLease(engine, lease_seconds)
        self.locations = SourceLocations(engine)

    def create(self) -> None:
        """Create or migrate the tables."""
        schema.create(self.engine)

    # Files

    def known(self, identities: Collection[str]) -> set[str]:
        """Which of these identities the ledger has already."""
        found: set[str] = set()
        wanted = list(identities)
        with self.engine.connect() as connection:
            for start in range(0, len(wanted), _CHUNK):
                part = wanted[start : start + _CHUNK]
                found |= set(connection.scalars(sa.select(ingest_file.c.identity).where(ingest_file.c.identity.in_(part))))
        return found

    def register(self, seen: Sequence[Registration], run_id: str | None, rejected: Mapping[str, str] | None = None) -> list[File]:
        """Enter new objects, in key order; those already known are left as they are.

        A new object under a key that is known supersedes the older identities of that key: always under a dated key,
        else only those of the same batch date. `rejected` gives the reason for objects that are set aside at once, by
        identity. Returns the rows that are new.
        """
        rejected = rejected or {}
        items = sorted(seen, key=lambda o: (o.key, o.last_modified))
        for _ in range(_REGISTER_TRIES):
            try:
                with self.engine.begin() as connection:
                    return [
                        file
                        for start in range(0, len(items), _CHUNK)
                        for file in _enter(connection, items[start : start + _CHUNK], run_id, rejected, self._last_number)
                    ]
            except sa.exc.IntegrityError:
                # Another process entered one of them at the same moment; the next look finds it known.
                continue
        raise Retryable("Objects are being registered by several processes at once: run again.")

    def unfinished(self) -> Iterator[Unfinished]:
        """The files that are not done, as little of each as possible."""
        c = ingest_file.c
        where = (c.identity, c.source, c.bucket, c.key, c.content_hash)
        query = sa.select(*where, c.batch_date, c.stage, c.attempts, c.superseded_by, c.updated_at).where(c.status == "A")
        with self.engine.connect() as connection:
            for row in connection.execution_options(yield_per=_CHUNK).execute(query):
                since = row.updated_at.replace(tzinfo=timezone.utc)
                yield Unfinished(*row[:5], row.batch_date, row.stage, row.attempts, row.superseded_by is None, since)

    def files(
        self,
        *,
        source: str | None = None,
        batch_date: date | None = None,
        status: str | None = None,
        stages: Collection[str] | None = None,
        live_only: bool = False,
        newest_first: bool = False,
    ) -> list[File]:
        """Rows of the ledger, in the order in which they were registered."""
        query = sa.select(ingest_file)
        if source is not None:
            query = query.where(ingest_file.c.source == source)
        if batch_date is not None:
            query = query.where(ingest_file.c.batch_date == batch_date)
        if status is not None:
            query = query.where(ingest_file.c.status == status)
        if stages is not None:
            query = query.where(ingest_file.c.stage.in_(stages))
        if live_only:
            query = query.where(ingest_file.c.superseded_by.is_(None))
        query = query.order_by(ingest_file.c.file_id.desc() if newest_first else ingest_file.c.file_id)
        with self.engine.connect() as connection:
            return [_file(row) for row in connection.execute(query)]

    def claim_content(self, source: str, content_hash: str, file_id: int) -> int:
        """The file that counts for this content: `file_id` if no other live file of the source claimed it before.

        A claim is made before the file is parsed, so that two processes never load the same bytes twice. A holder that
        is superseded, or turned out to be no good, loses it.
        """
        here = (content_claim.c.source == source) & (content_claim.c.content_hash == content_hash)
        for _ in range(10):
            try:
                with self.engine.begin() as connection:
                    holder = connection.scalar(sa.select(content_claim.c.file_id).where(here))
                    if holder is None:
                        connection.execute(sa.insert(content_claim).values(source=source, content_hash=content_hash, file_id=file_id))
                        return file_id
                    row = connection.execute(sa.select(ingest_file).where(ingest_file.c.file_id == holder)).one()
                    good = row.superseded_by is None and row.outcome in (None, "loaded")
                    if holder == file_id or good:
                        return int(holder)
                    still_held = content_claim.c.file_id == holder
                    taken = connection.execute(sa.update(content_claim).where(here, still_held).values(file_id=file_id))
                    if taken.rowcount == 1:
                        return file_id
            except (sa.exc.IntegrityError, sa.exc.OperationalError):
                # Another process claimed it at the same moment: look again at who holds it.
                continue
        raise Retryable(f"The content of file {file_id} is being claimed by several processes at once: run again.")

    def file(self, file_id: int) -> File:
        """One row of the ledger, by its number."""
        with self.engine.connect() as connection:
            return _file(connection.execute(sa.select(ingest_file).where(ingest_file.c.file_id == file_id)).one())

    def by_identity(self, identity: str) -> File | None:
        """The file with this identity, if it was ever seen."""
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(ingest_file).where(ingest_file.c.identity == identity)).one_or_none()
            return None if row is None else _file(row)

    def replays_of(self, file_id: int) -> list[File]:
        """The files that hold mended rows of a file, oldest first."""
        query = sa.select(ingest_file).where(ingest_file.c.replay_of == file_id).order_by(ingest_file.c.file_id)
        with self.engine.connect() as connection:
            return [_file(row) for row in connection.execute(query)]

    def batch_dates(self, first: date, last: date) -> list[date]:
        """The batch dates from `first` to `last` of which there are files, oldest first."""
        c = ingest_file.c
        query = sa.select(c.batch_date).where(c.batch_date.between(first, last), c.superseded_by.is_(None)).distinct()
        with self.engine.connect() as connection:
            return list(connection.scalars(query.order_by(c.batch_date)))

    def pending_dates(self) -> list[date]:
        """Batch dates with a file that is not done, or a slice that is not cleared; oldest first."""
        with self.engine.connect() as connection:
            dates = set(connection.scalars(sa.select(ingest_file.c.batch_date).where(ingest_file.c.status == "A").distinct()))
            dates |= {item.batch_date for item in slices.pending(connection)}
        return sorted(day for day in dates if day is not None)

    def reopen(self, file_ids: Sequence[int], run_id: str | None) -> None:
        """Make files `A` again, to be read from where they are now."""
        self._update(file_ids, status="A", stage="registered", run_id=run_id, finished_at=None, attempts=0)

    def attempt(self, file_ids: Sequence[int], run_id: str) -> None:
        """Count one more try for files that are about to be read."""
        with self.engine.begin() as connection:
            for start in range(0, len(file_ids), _CHUNK):
                connection.execute(
                    sa.update(ingest_file)
                    .where(ingest_file.c.file_id.in_(file_ids[start : start + _CHUNK]))
                    .values(attempts=ingest_file.c.attempts + 1, run_id=run_id, updated_at=_now())
                )

    def staged(
        self,
        results: Sequence[FileResult],
        superseded: Sequence[int],
        delta_version: int | None,
        touched: Mapping[str, Iterable[str]],
        day: date,
    ) -> None:
        """Enter what staging committed: results, superseded files, and once more the slices it made stale.

        A copy that was a `duplicate` of a superseded file becomes pending: its content counts now.
        """
        now = _now()
        with self.engine.begin() as connection:
            for result in results:
                connection.execute(
                    sa.update(ingest_file)
                    .where(ingest_file.c.file_id == result.file_id)
                    .values(
                        stage="staged",
                        outcome=result.outcome,
                        reason=result.reason,
                        format=result.format,
                        content_hash=result.content_hash,
                        rows_read=result.rows_read,
                        rows_accepted=result.rows_accepted,
                        rows_rejected=result.rows_rejected,
                        rows_duplicate=result.rows_duplicate,
                        rows_staged=result.rows_staged,
                        control_sums=result.control_sums,
                        duplicate_of=result.duplicate_of,
                        rejected_files=result.rejected_files,
                        header=json.dumps(result.header, ensure_ascii=False),
                        delta_version=delta_version,
                        updated_at=now,
                    )
                )
                if result.outcome == "loaded":
                    # A copy that was seen before this file was parsed did not know its rows yet.
                    connection.execute(
                        sa.update(ingest_file)
                        .where(ingest_file.c.duplicate_of == result.file_id, ingest_file.c.outcome == "duplicate")
                        .values(rows_read=result.rows_read, rows_duplicate=result.rows_read)
                    )
            if superseded:
                connection.execute(
                    sa.update(ingest_file)
                    .where(ingest_file.c.file_id.in_(superseded))
                    .values(status="A", outcome="superseded", stage="staged", rejected_files="[]", reason=None, updated_at=now)
                )
            gone = [*superseded, *(r.file_id for r in results if r.outcome != "loaded")]
            for start in range(0, len(gone), _CHUNK):
                part = gone[start : start + _CHUNK]
                connection.execute(
                    sa.update(ingest_file)
                    .where(ingest_file.c.duplicate_of.in_(part), ingest_file.c.superseded_by.is_(None))
                    .values(status="A", stage="registered", duplicate_of=None, attempts=0, updated_at=now)
                )
                connection.execute(sa.delete(duplicate_rows).where(duplicate_rows.c.file_id.in_(part)))
            for table, names in touched.items():
                slices.touch(connection, table, names, day)

    def link_replays(self, origins: Mapping[int, str]) -> None:
        """Note of replays whose mended rows they hold (`origins`: identity of the file they came in, by `file_id`).

        A later replay of a file holds the rows of the earlier one, and supersedes it wherever it landed. A replay whose
        file is superseded is superseded as well: its rows leave with the file.
        """
        c = ingest_file.c
        origin = ingest_file.alias("origin")
        with self.engine.begin() as connection:
            for file_id, identity in origins.items():
                found = connection.scalar(sa.select(c.file_id).where(c.identity == identity))
                if found is None:
                    continue
                connection.execute(sa.update(ingest_file).where(c.file_id == file_id).values(replay_of=found))
                live = (c.replay_of == found) & c.superseded_by.is_(None)
                last = connection.scalar(sa.select(c.file_id).where(live).order_by(c.last_modified.desc(), c.file_id.desc()).limit(1))
                connection.execute(sa.update(ingest_file).where(live, c.file_id != last).values(superseded_by=last, updated_at=_now()))
            left = sa.select(ingest_file.c.file_id, origin.c.superseded_by).where(
                ingest_file.c.replay_of == origin.c.file_id,
                origin.c.superseded_by.is_not(None),
                ingest_file.c.superseded_by.is_(None),
            )
            for row in connection.execute(left).all():
                here = ingest_file.c.file_id == row.file_id
                connection.execute(sa.update(ingest_file).where(here).values(superseded_by=row.superseded_by, updated_at=_now()))

    def unread(self, reasons: Mapping[int, str]) -> None:
        """Note why files could not be read this time; they stay pending."""
        with self.engine.begin() as connection:
            for file_id, reason in reasons.items():
                connection.execute(sa.update(ingest_file).where(ingest_file.c.file_id == file_id).values(reason=reason, updated_at=_now()))

    def rejections_kept(self, file_ids: Sequence[int]) -> None:
        """Enter that the rejections of these files are in their table."""
        self._update(file_ids, stage="kept", rejected_files=None)

    def close_finished(self, run_id: str) -> list[File]:
        """Make every file whose work is done `I`, unless something is still pending; returns those files."""
        now = _now()
        with self.engine.begin() as connection:
            if slices.anything_pending(connection, REPORT_TABLES):
                return []
            ready = (ingest_file.c.status == "A") & (ingest_file.c.stage == "kept")
            rows = connection.execute(sa.select(ingest_file).where(ready).order_by(ingest_file.c.file_id)).all()
            ids = [row.file_id for row in rows]
            for start in range(0, len(ids), _CHUNK):
                connection.execute(
                    sa.update(ingest_file)
                    .where(ingest_file.c.file_id.in_(ids[start : start + _CHUNK]), ready)
                    .values(status="I", stage="published", run_id=run_id, finished_at=now, updated_at=now)
                )
            # The error of an earlier try is no reason any more: the file came through.
            through = (ingest_file.c.run_id == run_id) & (ingest_file.c.status == "I") & ingest_file.c.outcome.in_(("loaded", "empty"))
            connection.execute(sa.update(ingest_file).where(through).values(reason=None))
        return [_file(row) for row in rows]

    def unarchived(self) -> list[File]:
        """Finished files whose object is still where it was landed; superseded objects are no longer there."""
        query = sa.select(ingest_file).where(
            ingest_file.c.status == "I",
            ingest_file.c.current_key == ingest_file.c.key,
            ingest_file.c.outcome.in_(("loaded", "rejected", "duplicate", "empty")),
            ingest_file.c.superseded_by.is_(None),
        )
        with self.engine.connect() as connection:
            return [_file(row) for row in connection.execute(query.order_by(ingest_file.c.file_id))]

    def moved(self, file_id: int, key: str, etag: str, version_id: str | None) -> None:
        """Enter where a file's object is now."""
        self._update([file_id], current_key=key, current_etag=etag, current_version_id=version_id)

    def failed(self, batch_date: date, reason: str) -> None:
        """Note the first error on files of a batch that are not done."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.update(ingest_file)
                .where(ingest_file.c.batch_date == batch_date, ingest_file.c.status == "A", ingest_file.c.reason.is_(None))
                .values(reason=reason, updated_at=_now())
            )

    def give_up(self, most: int, busy: Collection[date] = ()) -> list[File]:
        """End the tries for files that were tried `most` times and never staged; `salesmart run --date` takes them up again.

        Those of the dates in `busy` are left: their run may still succeed. Returns the files given up.
        """
        c = ingest_file.c
        hopeless = (c.status == "A") & (c.stage == "registered") & (c.attempts >= most) & c.superseded_by.is_(None)
        now = _now()
        ended: list[File] = []
        with self.engine.begin() as connection:
            found = connection.execute(sa.select(c.file_id, c.batch_date, c.attempts, c.reason).where(hopeless).order_by(c.file_id)).all()
            for row in found:
                if row.batch_date in busy:
                    continue
                reason = f"given up after {row.attempts} tries: {row.reason or 'the run failed'}"
                told = {"status": "I", "outcome": "given_up", "reason": reason, "finished_at": now, "updated_at": now}
                if connection.execute(sa.update(ingest_file).where(hopeless, c.file_id == row.file_id).values(told)).rowcount:
                    ended.append(_file(connection.execute(sa.select(ingest_file).where(c.file_id == row.file_id)).one()))
        return ended

    def count_duplicates(self, days: Sequence[date], counts: Mapping[tuple[int, date], int]) -> None:
        """Replace the duplicate counts of these sale dates, and bring the files' row counts in step."""
        with self.engine.begin() as connection:
            affected: set[int] = {file_id for file_id, _ in counts}
            for start in range(0, len(days), _CHUNK):
                part = days[start : start + _CHUNK]
                affected |= set(
                    connection.scalars(sa.select(duplicate_rows.c.file_id).where(duplicate_rows.c.sales_date.in_(part)).distinct())
                )
                connection.execute(sa.delete(duplicate_rows).where(duplicate_rows.c.sales_date.in_(part)))
            rows = [{"file_id": file_id, "sales_date": day, "duplicates": n} for (file_id, day), n in counts.items() if n]
            if rows:
                connection.execute(sa.insert(duplicate_rows), rows)
            for file_id in sorted(affected):
                total = sa.select(sa.func.coalesce(sa.func.sum(duplicate_rows.c.duplicates), 0)).where(duplicate_rows.c.file_id == file_id)
                count = int(connection.scalar(total) or 0)
                connection.execute(
                    sa.update(ingest_file)
                    .where(ingest_file.c.file_id == file_id, ingest_file.c.outcome == "loaded")
                    .values(rows_duplicate=count, rows_accepted=ingest_file.c.rows_staged - count)
                )

    def duplicates(self, days: Sequence[date]) -> dict[tuple[int, date], int]:
        """Duplicate rows on these sale dates, by file and date; only where there are any."""
        c = duplicate_rows.c
        found: dict[tuple[int, date], int] = {}
        with self.engine.connect() as connection:
            for start in range(0, len(days), _CHUNK):
                part = sa.select(c.file_id, c.sales_date, c.duplicates).where(c.sales_date.in_(days[start : start + _CHUNK]))
                found |= {(row.file_id, row.sales_date): row.duplicates for row in connection.execute(part)}
        return found

    # Slices

    def touch(self, touched: Mapping[str, Iterable[str]], batch_date: date | None) -> None:
        """Mark slices as stale, by table."""
        with self.engine.begin() as connection:
            for table, names in touched.items():
                slices.touch(connection, table, names, batch_date)

    def pending(self, table: str | None = None) -> list[PendingSlice]:
        """The stale slices of a table, or of all."""
        with self.engine.connect() as connection:
            return slices.pending(connection, table)

    def clear(self, done: Sequence[PendingSlice]) -> None:
        """Take slices off the list that nobody touched since they were read."""
        with self.engine.begin() as connection:
            slices.clear(connection, done)

    def _update(self, file_ids: Sequence[int], **values: Any) -> None:
        with self.engine.begin() as connection:
            for start in range(0, len(file_ids), _CHUNK):
                part = file_ids[start : start + _CHUNK]
                connection.execute(sa.update(ingest_file).where(ingest_file.c.file_id.in_(part)).values(updated_at=_now(), **values))


def _enter(
    connection: sa.Connection,
    items: Sequence[Registration],
    run_id: str | None,
    rejected: Mapping[str, str],
    last_number: Callable[[], int],
) -> list[File]:
    """Enter the unknown of these objects, in order, and let them supersede what was under their keys."""
    c = ingest_file.c
    now = _now()
    known = set(connection.scalars(sa.select(c.identity).where(c.identity.in_([item.identity for item in items]))))
    new = {item.identity: item for item in items if item.identity not in known}
    if not new:
        return []
    hashes = {item.identity: hashlib.sha256(f"{item.bucket}\0{item.key}".encode()).hexdigest() for item in new.values()}
    before = sa.select(c.file_id, c.key_hash, c.batch_date).where(c.key_hash.in_(set(hashes.values())), c.superseded_by.is_(None))
    live: dict[str, list[tuple[int, date | None]]] = {}
    for row in connection.execute(before.order_by(c.file_id)):
        live.setdefault(row.key_hash, []).append((row.file_id, row.batch_date))
    rows = [_row(item, hashes[item.identity], rejected.get(item.identity), run_id, now) for item in new.values()]
    if connection.scalar(sa.select(c.file_id).limit(1)) is None:
        connection.execute(sa.insert(ingest_file), {**rows.pop(0), "file_id": last_number() + 1})
    if rows:
        connection.execute(sa.insert(ingest_file), rows)
    entered = connection.execute(sa.select(c.file_id, c.identity).where(c.identity.in_(list(new))).order_by(c.file_id)).all()
    superseded: list[dict[str, Any]] = []
    for file_id, identity in entered:
        item = new[identity]
        there = live.setdefault(hashes[identity], [])
        older = [one for one in there if item.dated_key or one[1] == item.batch_date]
        superseded += [{"old": old, "new": file_id} for old, _ in older]
        live[hashes[identity]] = [one for one in there if one not in older] + [(file_id, item.batch_date)]
    if superseded:
        change = sa.update(ingest_file).where(c.file_id == sa.bindparam("old"), c.superseded_by.is_(None))
        connection.execute(change.values(superseded_by=sa.bindparam("new"), updated_at=now), superseded)
    return [_file(row) for row in connection.execute(sa.select(ingest_file).where(c.identity.in_(list(new))).order_by(c.file_id))]


def _row(item: Registration, key_hash: str, reason: str | None, run_id: str | None, now: datetime) -> dict[str, Any]:
    return {
        "identity": item.identity,
        "key_hash": key_hash,
        "source": item.source,
        "bucket": item.bucket,
        "key": item.key,
        "version_id": item.version_id,
        "etag": item.etag,
        "size": item.size,
        "last_modified": _naive(item.last_modified),
        "current_key": item.key,
        "current_etag": item.etag,
        "current_version_id": item.version_id,
        "batch_date": item.batch_date,
        "status": "I" if reason else "A",
        "stage": "published" if reason else "registered",
        "outcome": "rejected" if reason else None,
        "finished_at": now if reason else None,
        "reason": reason,
        "run_id": run_id,
        "attempts": 0,
        "rows_read": 0,
        "rows_accepted": 0,
        "rows_rejected": 0,
        "rows_duplicate": 0,
        "rows_staged": 0,
        "first_seen": now,
        "updated_at": now,
    }


def _file(row: Any) -> File:
    return File(**row._mapping)  # noqa: SLF001 (SQLAlchemy's own public name for it)


def _now() -> datetime:
    return _naive(datetime.now(timezone.utc))


def _naive(moment: datetime) -> datetime:
    """UTC without a zone, as databases keep it."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None)
