"""Publication: slices of all marts and dimensions become visible in the database together, or not at all.

Slices that stand in the database as they are in the lake need no load. The rows of the others are loaded into side tables
that only this session sees, and compared there with the lake's. Then one transaction takes out of the published tables what
is gone or different, puts in what is new, compares each slice as it now stands with the lake's rows once more, and writes
the `publication` rows. A reader sees all of the old or all of the new.

Side tables are temporary tables: they end with the session, however it ends, so that nothing is left to clean up.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from salesmart_assets.contracts import Table
from salesmart_assets.errors import AuditFailed, OutcomeUnknown, Permanent, Retryable
from salesmart_assets.publish.bulk import bulk_load_method, load_side, standing_totals
from salesmart_assets.publish.database import describe, immediate
from salesmart_assets.publish.rows import WHOLE, Totals, fit, slice_column, slice_date, totals
from salesmart_assets.publish.schema import bring_up_to_date, database_table, is_up_to_date, publication_table, side_table

__all__ = ["Publication", "Publisher", "SliceLoad", "bulk_load_method"]

_LOST = (1053, 1927, 2003, 2006, 2013, 2055)
_BUSY = (1205, 1213, 3572)
_RECONNECT_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SliceLoad:
    """All rows of one slice, as the lake has them at a version of the table; no rows means that the slice is empty now.

    `slice` is the first day of the month for a mart (`2026-11-01`), and `all` for a dimension.
    """

    table: Table
    slice: str
    lake_version: int
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Publication:
    """A slice that became visible. `changed_rows` are those added, changed or removed; `published_at` is in UTC."""

    mart: str
    slice: str
    lake_version: int
    rows: int
    sums: dict[str, Decimal]
    run_id: str
    published_at: datetime
    changed_rows: int


@dataclass(frozen=True, slots=True, eq=False)
class _Checked:
    """A load whose rows fit, and what they add up to."""

    load: SliceLoad
    rows: pa.Table
    totals: Totals

    @property
    def name(self) -> tuple[str, str]:
        """(mart, slice)"""
        return self.load.table.name, self.load.slice


class Publisher:
    """Publishes `tables` to the database of `engine`.

    `on_step` is told when `publish.loaded`, `publish.before_commit` and `publish.committed` are reached. Another publisher
    of the same database is waited for up to `lock_seconds`.
    """

    def __init__(
        self,
        engine: sa.Engine,
        tables: Sequence[Table],
        *,
        on_step: Callable[[str], None] = lambda _: None,
        lock_seconds: float = 60,
    ) -> None:
        self._engine = engine
        self._on_step = on_step
        self._lock_seconds = lock_seconds
        metadata = sa.MetaData()
        self._publication = publication_table(metadata)
        self._published = {table.name: database_table(table, metadata) for table in tables}
        self._sides = {table.name: side_table(table, metadata) for table in tables}
        self._schema_ready = False

    def ensure_schema(self) -> None:
        """Create the tables, or add the columns and indexes that they lack and widen types.

        The slices of a table that was made or gained a column are due for publication again. Raises `Permanent`, before
        anything is altered, for a change that could lose values.
        """
        tables = list(self._published.values())
        # Who only looks must not wait for a publication that is under way.
        with _translated(self._engine), self._engine.connect() as connection:
            standing = is_up_to_date(connection, [self._publication, *tables])
        if not standing:
            with self._session() as connection, immediate(connection).begin():
                bring_up_to_date(connection, self._publication, tables)
        self._schema_ready = True

    def published(self) -> dict[tuple[str, str], int]:
        """The lake version of each slice that stands published, by (mart, slice)."""
        self._ready()
        item = self._publication
        with _translated(self._engine), self._engine.connect() as connection:
            found = connection.execute(sa.select(item.c.mart, item.c.slice, item.c.lake_version).where(item.c.is_stale.is_(False)))
            return {(row.mart, row.slice): row.lake_version for row in found}

    def publish(self, loads: Sequence[SliceLoad], run_id: str) -> list[Publication]:
        """Make the slices visible together, and say what became visible.

        A slice that is already published at a newer lake version is left as it is, and not in the answer.
        Raises `AuditFailed` if what the database holds is not what the lake holds: nothing is published then. `Retryable`
        if the connection was lost or another publisher is busy: nothing is published. `OutcomeUnknown` if the connection
        was lost during the commit and the server can't be asked what became of it.
        """
        self._refuse_nonsense(loads)
        checked = []
        for load in loads:
            rows = fit(load.table, load.slice, load.rows)
            checked.append(_Checked(load, rows, totals(load.table, rows)))
        if not checked:
            return []
        self._ready()
        token = str(uuid.uuid4())
        done: list[Publication] = []
        committing = False
        try:
            with self._session() as connection:
                with connection.begin():
                    due = self._due(connection, checked)
                    changed = [item for item in due if self._difference(connection, item, self._published)]
                self._load(connection, changed)
                self._on_step("publish.loaded")
                with immediate(connection).begin():
                    due = self._due(connection, due)
                    written = {item.name: self._switch(connection, item) for item in due if item in changed}
                    done = [self._note(connection, item, written.get(item.name), run_id, token) for item in due]
                    self._on_step("publish.before_commit")
                    committing = True
        except _ConnectionLost as error:
            if not committing:
                raise
            self._look_again(token, error)
        self._on_step("publish.committed")
        return done

    def _ready(self) -> None:
        if not self._schema_ready:
            self.ensure_schema()

    def _refuse_nonsense(self, loads: Sequence[SliceLoad]) -> None:
        seen: set[tuple[str, str]] = set()
        for load in loads:
            name = (load.table.name, load.slice)
            if load.table.name not in self._published:
                raise Permanent(f"{load.table.name} is not among the published tables: {', '.join(self._published)}.")
            if name in seen:
                raise Permanent(f"{load.table.name} {load.slice} is to be published twice at once: give all rows of a slice together.")
            seen.add(name)

    @contextlib.contextmanager
    def _session(self) -> Iterator[sa.Connection]:
        """A session of its own, the only publisher's. Its end drops the side tables and frees the lock, however it comes."""
        with _translated(self._engine), self._engine.connect() as connection:
            connection.detach()
            if connection.dialect.name == "sqlite":
                # Its write lock is the lock.
                with connection.begin():
                    connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(self._lock_seconds * 1000)}")
            else:
                self._lock(connection)
            yield connection

    def _lock(self, connection: sa.Connection) -> None:
        # A reader that keeps a table open must not hold up an ALTER TABLE for the server's default of a day or a year.
        seconds = max(1, round(self._lock_seconds))
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {seconds}, SESSION innodb_lock_wait_timeout = {seconds}")
        taken = connection.execute(sa.select(sa.func.get_lock(self._lock_name, self._lock_seconds))).scalar()
        connection.commit()
        if taken != 1:
            raise Retryable(f"Another publisher has held {_place(self._engine)} for {self._lock_seconds:.0f} s: run again later.")

    @property
    def _lock_name(self) -> str:
        return f"salesmart-publish-{hashlib.sha256(str(self._engine.url.database).encode()).hexdigest()[:32]}"

    def _due(self, connection: sa.Connection, items: Sequence[_Checked]) -> list[_Checked]:
        """Those that no newer version stands for."""
        table = self._publication
        found = connection.execute(sa.select(table.c.mart, table.c.slice, table.c.lake_version).with_for_update())
        standing = {(row.mart, row.slice): row.lake_version for row in found}
        return [item for item in items if standing.get(item.name, -1) <= item.load.lake_version]

    def _load(self, connection: sa.Connection, items: Sequence[_Checked]) -> None:
        """Load and verify the side table of each mart."""
        by_table: dict[str, list[_Checked]] = {}
        for item in items:
            by_table.setdefault(item.load.table.name, []).append(item)
        for name, group in by_table.items():
            table, side = group[0].load.table, self._sides[name]
            with connection.begin():
                side.create(connection, checkfirst=False)
            with connection.begin():
                load_side(connection, table, side, pa.concat_tables([item.rows for item in group]))
            with connection.begin():
                for item in group:
                    self._verify(connection, item, self._sides, "arrived in the database")

    def _switch(self, connection: sa.Connection, item: _Checked) -> int:
        """Make the published slice equal to the side table's, writing only rows that differ; how many there were."""
        table = item.load.table
        standing, side = self._published[table.name], self._sides[table.name]
        same_key = sa.and_(*(side.c[name] == standing.c[name] for name in table.key))
        differs = sa.or_(sa.false(), *(_differs(connection, side.c[n], standing.c[n]) for n in table.names if n not in table.key))
        here = self._condition(item.load, standing)
        gone = connection.execute(sa.delete(standing).where(here, ~_exists(side, same_key, standing))).rowcount
        connection.execute(sa.delete(standing).where(here, _exists(side, sa.and_(same_key, differs), standing)))
        rows = sa.select(*(side.c[name] for name in table.names)).where(
            self._condition(item.load, side), ~_exists(standing, same_key, side)
        )
        return gone + connection.execute(sa.insert(standing).from_select(list(table.names), rows)).rowcount

    def _difference(self, connection: sa.Connection, item: _Checked, tables: Mapping[str, sa.Table]) -> str:
        """How a slice in the database differs from the lake's, in words; empty if it does not."""
        at = tables[item.load.table.name]
        return standing_totals(connection, item.load.table, at, self._condition(item.load, at)).difference(item.totals)

    def _verify(self, connection: sa.Connection, item: _Checked, tables: Mapping[str, sa.Table], verb: str) -> None:
        difference = self._difference(connection, item, tables)
        if difference:
            raise AuditFailed(
                f"{item.load.table.name} {item.load.slice}: what {verb} is not what the lake holds at version {item.load.lake_version}: "
                f"{difference}. Nothing was published; run again, and look for whoever else writes to the database."
            )

    def _note(self, connection: sa.Connection, item: _Checked, written: int | None, run_id: str, token: str) -> Publication:
        """Compare the slice as it now stands, and write down that it is published. `written` is None if it was equal all along."""
        try:
            self._verify(connection, item, self._published, "would stand in the published table")
        except AuditFailed as error:
            if written is None:
                raise Retryable(f"Somebody else changed {' '.join(item.name)} meanwhile; nothing was published. Run again.") from error
            raise
        now = datetime.now(timezone.utc)
        mart, slice_name = item.name
        made = Publication(mart, slice_name, item.load.lake_version, item.totals.rows, item.totals.sums, run_id, now, written or 0)
        table = self._publication
        connection.execute(sa.delete(table).where(table.c.mart == mart, table.c.slice == slice_name))
        connection.execute(
            sa.insert(table).values(
                mart=mart,
                slice=slice_name,
                lake_version=made.lake_version,
                row_count=made.rows,
                sums=json.dumps({name: format(value, "f") for name, value in made.sums.items()}),
                changed_rows=made.changed_rows,
                run_id=run_id,
                token=token,
                is_stale=False,
                published_at=now.replace(tzinfo=None),
            )
        )
        return made

    def _condition(self, load: SliceLoad, at: sa.Table) -> sa.ColumnElement[bool]:
        if load.slice == WHOLE:
            return sa.true()
        return at.c[slice_column(load.table)] == slice_date(load.table, load.slice)

    def _look_again(self, token: str, cause: Exception) -> None:
        """Find out what became of a commit whose answer was lost; raises unless it took place."""
        deadline = time.monotonic() + self._lock_seconds
        while (committed := self._is_committed(token)) is None:
            if time.monotonic() >= deadline:
                raise OutcomeUnknown(
                    f"The connection to {_place(self._engine)} was lost during the commit, and it can't be asked what became of it: "
                    "look at the table `publication` before running again."
                ) from cause
            time.sleep(_RECONNECT_PAUSE_SECONDS)
        if not committed:
            raise Retryable(
                f"The connection to {_place(self._engine)} was lost before the commit; nothing was published. Run again."
            ) from cause

    def _is_committed(self, token: str) -> bool | None:
        """Whether the publication with this token took place; None while that can't be told."""
        try:
            # The lock is free only when the session that held it is over: from then on the answer is final.
            with self._session() as connection, connection.begin():
                return bool(connection.scalar(sa.select(sa.func.count()).where(self._publication.c.token == token)))
        except Retryable:
            return None


class _ConnectionLost(Retryable):
    """The connection broke while it was in use."""


def _exists(table: sa.Table, condition: sa.ColumnElement[bool], outer: sa.Table) -> sa.Exists:
    return sa.select(sa.literal(1)).select_from(table).where(condition).correlate(outer).exists()


def _differs(connection: sa.Connection, one: sa.Column[Any], other: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """Whether two values differ, byte by byte: MySQL's text comparison takes `a` and `a ` for the same."""
    if connection.dialect.name == "mysql" and isinstance(one.type, sa.String):
        return sa.cast(one, sa.LargeBinary).is_distinct_from(sa.cast(other, sa.LargeBinary))
    return one.is_distinct_from(other)


def _place(engine: sa.Engine) -> str:
    return describe(engine.url.render_as_string(hide_password=True))


@contextlib.contextmanager
def _translated(engine: sa.Engine) -> Iterator[None]:
    """Errors of the driver as ours. Parameters are not shown: rows hold personal data."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        code = error.orig.args[0] if error.orig is not None and error.orig.args else None
        if error.connection_invalidated or code in _LOST:
            raise _ConnectionLost(f"The connection to {_place(engine)} was lost; nothing was published. Run again.") from error
        if code in _BUSY or "database is locked" in str(error.orig):
            raise Retryable(f"{_place(engine)} is held by somebody else ({error.orig}); nothing was published. Run again later.") from error
        if isinstance(error, (sa.exc.DataError, sa.exc.IntegrityError)):
            # Its text may repeat a value of the row.
            raise Permanent(f"{_place(engine)} refuses a row (error {code}); nothing was published.") from None
        raise Permanent(f"{_place(engine)} refuses ({error.orig}); nothing was published.") from error
