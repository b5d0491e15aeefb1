"""Publication: slices of all marts and dimensions become visible in the database together, or not at all.

All of it is one transaction. Each slice is added up as it stands, which locks its rows, and only what differs from the lake
is taken out and put in; what then stands is compared with the lake's rows once more, and the `publication` rows are
written. A reader sees all of the old or all of the new. How one slice is made equal is in `switch`.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa

from salesmart_assets.contracts import Table
from salesmart_assets.errors import OutcomeUnknown, Permanent, Retryable
from salesmart_assets.publish.database import immediate
from salesmart_assets.publish.rows import WHOLE, Totals, slice_column
from salesmart_assets.publish.schema import bring_up_to_date, database_table, is_up_to_date, keys_table, publication_table
from salesmart_assets.publish.session import ConnectionLost, place, session, translated
from salesmart_assets.publish.switch import Known, SliceLoad, Switch, prepare

__all__ = ["Publication", "Publisher", "SliceLoad"]

_RECONNECT_PAUSE_SECONDS = 0.5


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


class Publisher:
    """Publishes `tables` to the database of `engine`.

    `on_step` is told when `publish.loaded`, `publish.before_commit` and `publish.committed` are reached, the first of them
    for each slice of which something was written. Another publisher of the same database is waited for up to
    `lock_seconds`, and `waiting` is told who it is.
    """

    def __init__(
        self,
        engine: sa.Engine,
        tables: Sequence[Table],
        *,
        on_step: Callable[[str], None] = lambda _: None,
        waiting: Callable[[str], None] = lambda _: None,
        lock_seconds: float = 60,
    ) -> None:
        self._engine = engine
        self._on_step = on_step
        self._waiting = waiting
        self._lock_seconds = lock_seconds
        metadata = sa.MetaData()
        self._tables = {table.name: table for table in tables}
        self._publication = publication_table(metadata)
        self._published = {table.name: database_table(table, metadata) for table in tables}
        self._keys = {table.name: keys_table(table, metadata) for table in tables}
        self._schema_ready = False

    def ensure_schema(self) -> None:
        """Create the tables, or add the columns and indexes that they lack and widen types.

        The slices of a table that was made or gained a column are due for publication again. Raises `Permanent`, before
        anything is altered, for a change that could lose values.
        """
        tables = list(self._published.values())
        # Who only looks must not wait for a publication that is under way.
        with translated(self._engine), self._engine.connect() as connection:
            standing = is_up_to_date(connection, [self._publication, *tables])
        if not standing:
            with self._session() as connection, immediate(connection).begin():
                bring_up_to_date(connection, self._publication, tables)
        self._schema_ready = True

    def published(self) -> dict[tuple[str, str], int]:
        """The lake version of each slice that stands published, by (mart, slice)."""
        self._ready()
        item = self._publication
        with translated(self._engine), self._engine.connect() as connection:
            found = connection.execute(sa.select(item.c.mart, item.c.slice, item.c.lake_version).where(item.c.is_stale.is_(False)))
            return {(row.mart, row.slice): _version(row.lake_version) for row in found}

    def slices(self) -> set[tuple[str, str]]:
        """Every (mart, slice) that there are rows of in the tables, whoever wrote them, or that was ever published.

        Raises `Permanent` for rows that are of no slice.
        """
        self._ready()
        item = self._publication
        with translated(self._engine), self._engine.connect() as connection:
            found = {(row.mart, row.slice) for row in connection.execute(sa.select(item.c.mart, item.c.slice)) if row.mart in self._tables}
            for name, table in self._tables.items():
                if not table.partition_by:
                    found.add((name, WHOLE))
                    continue
                # As it stands: what is no date can't be read as one.
                values = connection.scalars(sa.select(sa.type_coerce(self._published[name].c[slice_column(table)], sa.String)).distinct())
                found |= {(name, _slice_name(table, value)) for value in values}
        return found

    def difference(self, load: SliceLoad) -> str:
        """How a slice stands in the database, compared with all of its rows in the lake, in words; empty if it is equal."""
        self._ready()
        name = load.table.name
        with translated(self._engine), self._engine.begin() as connection:
            return Switch(connection, load, self._published[name], self._keys[name]).difference()

    def publish(self, loads: Sequence[SliceLoad], run_id: str) -> list[Publication]:
        """Make the slices visible together, and say what became visible.

        A slice that is already published at a newer lake version is left as it is, and not in the answer.
        Raises `AuditFailed` if what the database holds is not what the lake holds: nothing is published then. `Retryable`
        if the connection was lost or another publisher is busy: nothing is published. `OutcomeUnknown` if the connection
        was lost during the commit and the server can't be asked what became of it.
        """
        self._refuse_nonsense(loads)
        if not loads:
            return []
        self._ready()
        token = str(uuid.uuid4())
        done: list[Publication] = []
        committing = False
        try:
            with self._session() as connection, ThreadPoolExecutor(2) as beside:
                with connection.begin():
                    for name in dict.fromkeys(load.table.name for load in loads):
                        self._keys[name].create(connection, checkfirst=False)
                with immediate(connection).begin():
                    for load, totals, written in self._switch(connection, loads, beside):
                        done.append(self._note(connection, load, totals, written, run_id, token))
                    self._on_step("publish.before_commit")
                    committing = True
        except ConnectionLost as error:
            if not committing:
                raise
            self._look_again(token, error)
        self._on_step("publish.committed")
        return done

    def _ready(self) -> None:
        if not self._schema_ready:
            self.ensure_schema()

    def _session(self) -> AbstractContextManager[sa.Connection]:
        return session(self._engine, self._lock_seconds, self._waiting)

    def _refuse_nonsense(self, loads: Sequence[SliceLoad]) -> None:
        seen: set[tuple[str, str]] = set()
        for load in loads:
            if load.table.name not in self._published:
                raise Permanent(f"{load.table.name} is not among the published tables: {', '.join(self._published)}.")
            if load.name in seen:
                raise Permanent(f"{load.table.name} {load.slice} is to be published twice at once: give all rows of a slice together.")
            seen.add(load.name)

    def _switch(self, connection: sa.Connection, loads: Sequence[SliceLoad], beside: Executor) -> Iterator[tuple[SliceLoad, Totals, int]]:
        """Make each slice that no newer version stands for equal to the lake's; its totals, and how many rows were written."""
        standing = self._standing(connection)
        due = [load for load in loads if load.name not in standing or standing[load.name][0] <= load.lake_version]
        known = [standing.get(load.name, (0, None))[1] for load in due]
        coming = [beside.submit(prepare, load, known[0]) for load in due[:1]]
        for index, load in enumerate(due):
            name = load.table.name
            switch = Switch(connection, load, self._published[name], self._keys[name], lambda: self._on_step("publish.loaded"))
            have = switch.standing()
            prepared = coming.pop().result()
            # The next one is read while this one is written.
            coming += [beside.submit(prepare, other, known[index + 1]) for other in due[index + 1 : index + 2]]
            totals, written = switch.make_equal(have, prepared, beside)
            yield load, totals, written

    def _standing(self, connection: sa.Connection) -> dict[tuple[str, str], tuple[int, Known | None]]:
        """The lake version of each slice on record, and what is known of it; nothing is, if its table was altered since."""
        rows = connection.execute(sa.select(self._publication).with_for_update())
        return {(row.mart, row.slice): (_version(row.lake_version), self._known(row)) for row in rows}

    def _known(self, row: sa.Row[Any]) -> Known | None:
        """What a row on record says; None if that is too little, as an older salesmart wrote it, or no sense, as a person may have."""
        if row.is_stale or not row.fingerprint or not row.lake_files or row.mart not in self._tables:
            return None
        try:
            sums = {name: Decimal(value) for name, value in json.loads(row.sums).items()}
            known = Known(int(row.lake_version), row.lake_files, Totals(int(row.row_count), sums, int(row.fingerprint)))
        except (TypeError, ValueError, AttributeError, InvalidOperation):
            return None
        return known if list(sums) == list(self._tables[row.mart].money_columns) else None

    def _note(self, connection: sa.Connection, load: SliceLoad, totals: Totals, written: int, run_id: str, token: str) -> Publication:
        """Write down that a slice is published."""
        now = datetime.now(timezone.utc)
        mart, slice_name = load.name
        made = Publication(mart, slice_name, load.lake_version, totals.rows, totals.sums, run_id, now, written)
        table = self._publication
        connection.execute(sa.delete(table).where(table.c.mart == mart, table.c.slice == slice_name))
        connection.execute(
            sa.insert(table).values(
                mart=mart,
                slice=slice_name,
                lake_version=made.lake_version,
                row_count=made.rows,
                sums=json.dumps({name: format(value, "f") for name, value in made.sums.items()}),
                fingerprint=str(totals.fingerprint),
                lake_files=load.files,
                changed_rows=made.changed_rows,
                run_id=run_id,
                token=token,
                is_stale=False,
                published_at=now.replace(tzinfo=None),
            )
        )
        return made

    def _look_again(self, token: str, cause: Exception) -> None:
        """Find out what became of a commit whose answer was lost; raises unless it took place."""
        deadline = time.monotonic() + self._lock_seconds
        while (committed := self._is_committed(token)) is None:
            if time.monotonic() >= deadline:
                raise OutcomeUnknown(
                    f"The connection to {place(self._engine)} was lost during the commit, and it can't be asked what became of it: "
                    "look at the table `publication` before running again."
                ) from cause
            time.sleep(_RECONNECT_PAUSE_SECONDS)
        if not committed:
            raise Retryable(
                f"The connection to {place(self._engine)} was lost before the commit; nothing was published. Run again."
            ) from cause

    def _is_committed(self, token: str) -> bool | None:
        """Whether the publication with this token took place; None while that can't be told."""
        try:
            # The lock is free only when the session that held it is over: from then on the answer is final.
            with self._session() as connection, connection.begin():
                return bool(connection.scalar(sa.select(sa.func.count()).where(self._publication.c.token == token)))
        except Retryable:
            return None


def _version(version: object) -> int:
    """The lake version of a slice on record; 0 where somebody has taken it out."""
    return version if isinstance(version, int) else 0


def _slice_name(table: Table, value: object) -> str:
    """The slice of a row in the database by its slice column, which is text on SQLite, and on a lax MySQL may be `0000-00-00`."""
    text = str(value)
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise Permanent(
        f"{table.name} has rows in the database whose {slice_column(table)} is {text!r}, which is no date: delete them, or rename the "
        f"table (ALTER TABLE {table.name} RENAME TO {table.name}_old): it is then made anew and filled from the lake."
    )
