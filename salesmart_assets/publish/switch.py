"""One slice, in the transaction that is under way: what stands, what differs from the lake, and writing just that.

There are three ways. A slice that stands as it was last published is brought up to date by what the lake says has changed
since. An empty one is loaded whole. Of any other (restored, changed by hand, published by a lake that is gone) the database
tells the checksum of each row. Whichever it was, what stands in the end is added up in the database and compared.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import pyarrow as pa
import sqlalchemy as sa

from salesmart_assets.contracts import Table
from salesmart_assets.errors import AuditFailed
from salesmart_assets.publish.bulk import load_rows, same_key, standing_checksums, standing_mark, standing_totals
from salesmart_assets.publish.changes import Changes, changes_by_checksum, changes_since
from salesmart_assets.publish.rows import WHOLE, Mark, Totals, fit, slice_column, slice_date, sums, totals


@dataclass(frozen=True, slots=True)
class SliceLoad:
    """One slice as the lake has it at a version of the table.

    `slice` is the first day of the month for a mart (`2026-11-01`), and `all` for a dimension. `read` gives all its rows; none
    means that the slice is empty now. `files` tells the lake's files of the slice from any others, and `earlier` gives the
    rows as they were at an earlier version in files that are so told, or None if the lake has them no more. Without
    `earlier`, what was published before is taken on trust from nobody, and every row is compared.
    """

    table: Table
    slice: str
    lake_version: int
    read: Callable[[], pa.Table]
    files: str = ""
    earlier: Callable[[int, str], pa.Table | None] | None = None

    @property
    def name(self) -> tuple[str, str]:
        """(mart, slice)"""
        return self.table.name, self.slice

    def rows(self) -> pa.Table:
        """All rows, of which it is checked that they fit; see `rows.fit`."""
        return fit(self.table, self.slice, self.read())


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says of a slice: the version and the files it was published from, and what its rows added up to."""

    lake_version: int
    files: str
    totals: Totals


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """From a slice as it is known to have been published to what the lake has now: what it adds up to, and what changes."""

    before: Totals
    after: Totals
    changes: Changes


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The lake's side of a slice, as far as it was worked out: its rows, what they add up to, and the step from what is known."""

    rows: pa.Table | None = None
    totals: Totals | None = None
    step: Step | None = None


def prepare(load: SliceLoad, known: Known | None) -> Prepared:
    """Work out what is likely to be needed, while the database adds up what stands."""
    if known is None:
        # What was never published is most likely not there: its rows are added up while they are loaded.
        return Prepared(load.rows())
    table = load.table
    if load.earlier is not None:
        if known.files == load.files:
            nothing = table.arrow.empty_table()
            return Prepared(step=Step(known.totals, known.totals, Changes(nothing, nothing, nothing)))
        earlier = load.earlier(known.lake_version, known.files)
        if earlier is not None:
            rows = load.rows()
            changes = changes_since(table, earlier, rows)
            after = known.totals.replaced(totals(table, changes.gone), totals(table, changes.fresh))
            if (after.rows, after.sums) == (rows.num_rows, sums(table, rows)):
                return Prepared(rows, step=Step(known.totals, after, changes))
    rows = load.rows()
    return Prepared(rows, totals(table, rows))


@dataclass(frozen=True, slots=True, eq=False)
class Switch:
    """A slice of the published table `at`; `keys` is a temporary table for keys of it. `on_loaded` is called when rows are in."""

    connection: sa.Connection
    load: SliceLoad
    at: sa.Table
    keys: sa.Table
    on_loaded: Callable[[], None] = lambda: None

    @property
    def _table(self) -> Table:
        return self.load.table

    @property
    def _here(self) -> sa.ColumnElement[bool]:
        if self.load.slice == WHOLE:
            return sa.true()
        return self.at.c[slice_column(self._table)] == slice_date(self._table, self.load.slice)

    def standing(self) -> Mark:
        """What marks the slice as it stands; from now on it is locked."""
        return standing_mark(self.connection, self._table, self.at, self._here)

    def difference(self) -> str:
        """How the slice as it stands differs from the lake's rows, in words; empty if it does not."""
        standing = standing_totals(self.connection, self._table, self.at, self._here)
        return standing.difference(totals(self._table, self.load.rows()))

    def make_equal(self, have: Mark, prepared: Prepared, beside: Executor) -> tuple[Totals, int]:
        """Make the slice, which is marked by `have`, what the lake has; the new totals, and how many rows were written or removed.

        Raises `AuditFailed` if what then stands is something else.
        """
        step = prepared.step
        if step is not None and have == step.before.mark and self._follow(step.changes):
            return step.after, step.changes.keys.num_rows
        rows = self.load.rows() if prepared.rows is None else prepared.rows
        adding = beside.submit(lambda: prepared.totals or totals(self._table, rows))
        if have.rows:
            if have == adding.result().mark:
                return adding.result(), 0
            changes = changes_by_checksum(self._table, standing_checksums(self.connection, self._table, self.at, self._here), rows)
            self._name_keys(changes)
            self._write(changes)
            written = changes.keys.num_rows
        else:
            load_rows(self.connection, self._table, self.at, rows)
            written = rows.num_rows
        self.on_loaded()
        self._verify(adding.result())
        return adding.result(), written

    def _follow(self, changes: Changes) -> bool:
        """Write what changed in the lake since the slice was published; False if that is not what stands after all.

        The slice as a whole has been looked at, and stays locked: what is added up before and after are the rows that change.
        """
        if not changes.keys.num_rows:
            return True
        self._name_keys(changes)
        if standing_totals(self.connection, self._table, self.at, self._here, self.keys) != totals(self._table, changes.gone):
            return False
        self._write(changes)
        self.on_loaded()
        self._verify(totals(self._table, changes.fresh), self.keys)
        return True

    def _name_keys(self, changes: Changes) -> None:
        keys_only = replace(self._table, columns=tuple(c for c in self._table.columns if c.name in self._table.key))
        self.connection.execute(sa.delete(self.keys))
        load_rows(self.connection, keys_only, self.keys, changes.keys)

    def _write(self, changes: Changes) -> None:
        if changes.gone.num_rows:
            statement = sa.delete(self.at).where(self._here)
            if self.connection.dialect.name == "sqlite":
                key = sa.tuple_(*(self.at.c[name] for name in self._table.key))
                statement = statement.where(key.in_(sa.select(*(self.keys.c[name] for name in self._table.key))))
            else:
                # A subquery would be looked at once for each row of the slice; MySQL and MariaDB can delete from a join.
                statement = statement.where(same_key(self._table, self.keys, self.at))
            self.connection.execute(statement)
        load_rows(self.connection, self._table, self.at, changes.fresh)

    def _verify(self, want: Totals, among: sa.Table | None = None) -> None:
        difference = standing_totals(self.connection, self._table, self.at, self._here, among).difference(want)
        if difference:
            raise AuditFailed(
                f"{self._table.name} {self.load.slice}: what would stand in the published table is not what the lake holds at version "
                f"{self.load.lake_version}: {difference}. Nothing was published; run again, and look for whoever else writes to the "
                "database."
            )
