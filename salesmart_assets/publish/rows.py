"""Rows on their way to the database, seen from the lake's side: do they fit, what do they add up to, how do they read as text.

Belongs here: Arrow. Does not belong here: SQL.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from salesmart_assets.contracts import ColumnType, Table
from salesmart_assets.errors import AuditFailed, Permanent

WHOLE = "all"
KEY_LENGTH = 255
"""Characters of a text in a primary key; other texts are not bounded."""
SEPARATOR, ABSENT = "\x1f", "\x01"
"""What stands between the columns in a row's text, and for NULL: control characters that no value should have."""
_BATCH = 20_000
_FIRST, _LAST = date(1, 1, 1), date(9999, 12, 31)
# From here on Arrow writes small decimals with an exponent.
_LARGEST_PLAIN_SCALE = 6


@dataclass(frozen=True, slots=True)
class Mark:
    """How many rows a slice has, and their fingerprint: equal marks mean equal rows, in whatever order.

    The fingerprint is the sum over the rows of the CRC-32 of the row's text, all columns, times that of its key and one. It
    catches every change that lies within four bytes of a row, and any other by all but one in 2^32; the factor keeps what
    two rows have exchanged from cancelling out. It is no proof against somebody who forges rows on purpose.
    """

    rows: int
    fingerprint: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What the rows of a slice add up to: their number, the exact sum of each money column, and the fingerprint; see `Mark`."""

    rows: int
    sums: dict[str, Decimal]
    fingerprint: int

    @property
    def mark(self) -> Mark:
        return Mark(self.rows, self.fingerprint)

    def replaced(self, gone: Totals, fresh: Totals) -> Totals:
        """The totals after some of the rows were taken out and others put in."""
        sums = {name: value - gone.sums[name] + fresh.sums[name] for name, value in self.sums.items()}
        return Totals(self.rows - gone.rows + fresh.rows, sums, self.fingerprint - gone.fingerprint + fresh.fingerprint)

    def difference(self, other: Totals) -> str:
        """What is not equal, in words; empty if all is."""
        if self.rows != other.rows:
            return f"{self.rows} rows against {other.rows}"
        for name, value in self.sums.items():
            if value != other.sums[name]:
                return f"the sum of {name} is {value} against {other.sums[name]}"
        return "" if self.fingerprint == other.fingerprint else "rows and sums are equal, but a value in some other column is not"


def fit(table: Table, slice_name: str, rows: pa.Table) -> pa.Table:
    """The rows with exactly the table's columns and types.

    Raises `AuditFailed`, with the key of the row, for a value that does not fit its column, a required value that is
    absent, a row outside the slice, or a key that is there twice; `Permanent` if the columns are not the table's.
    """
    missing = [name for name in table.names if name not in rows.column_names]
    if missing:
        raise Permanent(f"{table.name} {slice_name} comes without the columns {', '.join(missing)}: rebuild it in the lake.")
    if slice_name == WHOLE and table.partition_by:
        raise Permanent(f"{table.name} is published by {slice_column(table)}, not whole: name the slice.")
    fitted = pa.Table.from_arrays([_cast(table, slice_name, rows, c.name, c.type) for c in table.columns], schema=table.arrow)
    for name, wrong, complaint in _misfits(table, slice_name, fitted):
        index = pc.index(wrong, True).as_py()
        if index >= 0:
            row = key_of(table, fitted, index)
            raise AuditFailed(f"{table.name} {slice_name}: {name} of the row {row} {complaint}: nothing was published.")
    _refuse_twins(table, slice_name, fitted)
    return fitted


def _refuse_twins(table: Table, slice_name: str, rows: pa.Table) -> None:
    # The slice's own column tells none of its rows apart, and one column is counted in a third of the time of two.
    telling = [name for name in table.key if slice_name == WHOLE or name != slice_column(table)]
    if len(telling) == 1 and pc.count_distinct(rows.column(telling[0])).as_py() == rows.num_rows:
        return
    counts = rows.select(table.key).group_by(list(table.key)).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts.column("count_all"), pa.scalar(1)))
    if twice.num_rows:
        row, times = key_of(table, twice, 0), twice.column("count_all")[0]
        raise AuditFailed(f"{table.name} {slice_name}: the key {row} is there {times} times: nothing was published.")


def _misfits(table: Table, slice_name: str, rows: pa.Table) -> Iterator[tuple[str, Any, str]]:
    """(column, which rows are wrong, what is wrong with them) for each check."""
    for column in table.columns:
        values = rows.column(column.name)
        if not column.nullable or column.name in table.key:
            yield column.name, pc.is_null(values), "is required, but absent"
        if column.type.name == "string" and column.name in table.key:
            yield column.name, pc.greater(pc.utf8_length(values), pa.scalar(KEY_LENGTH)), f"has more than {KEY_LENGTH} characters"
        if column.type.name in ("date", "timestamp"):
            first, last = _bounds(column.type)
            yield column.name, pc.or_(pc.less(values, first), pc.greater(values, last)), "is outside the years 1 to 9999"
    if slice_name != WHOLE:
        name = slice_column(table)
        wrong = pc.not_equal(rows.column(name), pa.scalar(slice_date(table, slice_name)))
        yield name, wrong, f"is not {slice_name}: the row belongs to another slice"


def slice_column(table: Table) -> str:
    """The column whose value names the slice of a row."""
    if not table.partition_by:
        raise Permanent(f"{table.name} is published whole: its slice is called {WHOLE!r}.")
    return table.partition_by[0]


def slice_date(table: Table, slice_name: str) -> date:
    """The value of the slice column in a slice."""
    try:
        return date.fromisoformat(slice_name)
    except ValueError:
        raise Permanent(f"{slice_name!r} is no slice of {table.name}: a slice is a date such as 2026-11-01.") from None


def key_of(table: Table, rows: pa.Table, index: int) -> str:
    """The key of a row, for messages."""
    return ", ".join(f"{name}={rows.column(name)[index].as_py()}" for name in table.key)


def totals(table: Table, rows: pa.Table) -> Totals:
    """What the rows add up to, exactly."""
    fingerprint = 0
    for texts in as_texts(table, rows):
        keys = [text for column, text in zip(table.columns, texts, strict=True) if column.name in table.key]
        products = _checksums(texts) * (_checksums(keys) + np.uint64(1))
        # In two halves: their sums can't overflow.
        fingerprint += (int((products >> np.uint64(32)).sum()) << 32) + int((products & np.uint64(0xFFFFFFFF)).sum())
    return Totals(rows.num_rows, sums(table, rows), fingerprint)


def sums(table: Table, rows: pa.Table) -> dict[str, Decimal]:
    """The exact sum of each money column."""
    found: dict[str, Decimal] = {}
    for name in table.money_columns:
        found[name] = pc.sum(rows.column(name).cast(pa.decimal256(76, scale_of(table, name))), min_count=0).as_py()
    return found


def checksums(table: Table, rows: pa.Table) -> pa.ChunkedArray[Any]:
    """The CRC-32 of each row's text, all columns."""
    return pa.chunked_array([pa.array(_checksums(texts)) for texts in as_texts(table, rows)], pa.uint64())


def _checksums(texts: Sequence[pa.Array[Any]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    lines = pc.binary_join_element_wise(  # type: ignore[call-overload]
        *texts, SEPARATOR, null_handling="replace", null_replacement=ABSENT
    )
    return np.fromiter(map(zlib.crc32, lines.cast(pa.binary()).to_pylist()), np.uint64, len(lines))


def scale_of(table: Table, name: str) -> int:
    """Places after the point of a money column."""
    declared = table.column(name).type.decimal
    assert declared is not None
    return declared[1]


def as_texts(table: Table, rows: pa.Table) -> Iterator[list[pa.Array[Any]]]:
    """The rows in batches, each column as text, as both databases write it; NULL stays NULL."""
    for batch in rows.select(table.names).to_batches(max_chunksize=_BATCH):
        if not batch.num_rows:  # a month that has lost its last row comes as an empty batch, and no database takes no values
            continue
        yield [as_text(column.type, values) for column, values in zip(table.columns, batch.columns, strict=True)]


def as_text(column_type: ColumnType, values: pa.Array[Any]) -> pa.Array[Any]:
    """A column as text: plain decimals with all their places, ISO dates, UTC times with six places, 1 and 0 for booleans."""
    if column_type.name == "boolean":
        return values.cast(pa.int8()).cast(pa.string())
    if column_type.name == "timestamp":
        return values.cast(pa.timestamp("us")).cast(pa.string())
    if column_type.decimal and column_type.decimal[1] > _LARGEST_PLAIN_SCALE:
        return pa.array([None if value is None else format(value, "f") for value in values.to_pylist()], pa.string())
    return values.cast(pa.string())


def _cast(table: Table, slice_name: str, rows: pa.Table, name: str, column_type: ColumnType) -> pa.ChunkedArray[Any]:
    values = rows.column(name)
    if column_type.decimal and pa.types.is_floating(values.type):
        raise Permanent(f"{table.name}.{name} comes as floating point numbers: money is decimal all the way.")
    try:
        return values.cast(column_type.arrow)
    except pa.ArrowInvalid:
        pass
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fails(values.slice(low, middle - low), column_type) else (middle, high)
    raise AuditFailed(
        f"{table.name} {slice_name}: {name} of the row {key_of(table, rows, low)} does not fit {column_type.name}: nothing was published. "
        "Widen the type in the contract or correct the row."
    )


def _fails(values: pa.ChunkedArray[Any], column_type: ColumnType) -> bool:
    try:
        values.cast(column_type.arrow)
    except pa.ArrowInvalid:
        return True
    return False


def _bounds(column_type: ColumnType) -> tuple[Any, Any]:
    if column_type.name == "date":
        return pa.scalar(_FIRST), pa.scalar(_LAST)
    first = datetime(1, 1, 1, tzinfo=timezone.utc)
    return pa.scalar(first, column_type.arrow), pa.scalar(datetime(9999, 12, 31, 23, 59, 59, 999999, timezone.utc), column_type.arrow)
