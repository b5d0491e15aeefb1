"""Rows on their way to the database, seen from the lake's side: do they fit, what do they add up to, how do they read as text.

Belongs here: Arrow. Does not belong here: SQL.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from salesmart_assets.contracts import ColumnType, Table
from salesmart_assets.errors import AuditFailed, Permanent

WHOLE = "all"
KEY_LENGTH = 255
"""Characters of a text in a primary key; other texts are not bounded."""
SEPARATOR = "\t"
ABSENT, PRESENT = "N", "="
_BATCH = 20_000
_FIRST, _LAST = date(1, 1, 1), date(9999, 12, 31)
# From here on Arrow writes small decimals with an exponent.
_LARGEST_PLAIN_SCALE = 6


@dataclass(frozen=True, slots=True)
class Totals:
    """What the rows of a slice add up to: equal totals mean equal rows, in whatever order.

    `fingerprint` is the sum of the CRC-32 of each row's text, all columns.
    """

    rows: int
    sums: dict[str, Decimal]
    fingerprint: int

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
        raise Permanent(
            f"{table.name} {slice_name}: the rows to publish have no column {', '.join(missing)}: rebuild the mart in the lake."
        )
    columns = []
    for column in table.columns:
        values = rows.column(column.name)
        if column.type.decimal and pa.types.is_floating(values.type):
            raise Permanent(f"{table.name}.{column.name} comes as floating point numbers: money is decimal all the way.")
        columns.append(_cast(table, slice_name, rows, column.name, column.type))
    fitted = pa.Table.from_arrays(columns, schema=table.arrow)
    for column in table.columns:
        values = fitted.column(column.name)
        wrong = None
        if not column.nullable or column.name in table.key:
            wrong, complaint = pc.is_null(values), "is required, but absent"
            _refuse(table, slice_name, fitted, column.name, wrong, complaint)
        if column.type.name == "string" and column.name in table.key:
            wrong, complaint = pc.greater(pc.utf8_length(values), KEY_LENGTH), f"has more than {KEY_LENGTH} characters"
            _refuse(table, slice_name, fitted, column.name, wrong, complaint)
        if column.type.name in ("date", "timestamp"):
            first, last = _bounds(column.type)
            wrong = pc.or_(pc.less(values, first), pc.greater(values, last))
            _refuse(table, slice_name, fitted, column.name, wrong, "is outside the years 1 to 9999")
    if slice_name != WHOLE:
        wrong = pc.not_equal(fitted.column(slice_column(table)), pa.scalar(slice_date(table, slice_name)))
        _refuse(table, slice_name, fitted, slice_column(table), wrong, f"is not {slice_name}: the row belongs to another slice")
    elif table.partition_by:
        raise Permanent(f"{table.name} is published by {slice_column(table)}, not whole: name the slice.")
    counts = fitted.select(table.key).group_by(list(table.key)).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts.column("count_all"), 1))
    if twice.num_rows:
        raise AuditFailed(
            f"{table.name} {slice_name}: the key {key_of(table, twice, 0)} is there {twice.column('count_all')[0]} times: nothing was published."
        )
    return fitted


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
    sums = {}
    for name in table.money_columns:
        _, scale = table.column(name).type.decimal or (0, 0)
        total = pc.sum(rows.column(name).cast(pa.decimal256(76, scale))).as_py()
        sums[name] = total if total is not None else Decimal(0).scaleb(-scale)
    fingerprint = 0
    for texts in as_texts(table, rows):
        marked = [pc.fill_null(pc.binary_join_element_wise(PRESENT, text, ""), ABSENT) for text in texts]
        lines = pc.binary_join_element_wise(*marked, SEPARATOR).cast(pa.binary())
        fingerprint += sum(map(zlib.crc32, lines.to_pylist()))
    return Totals(rows.num_rows, sums, fingerprint)


def as_texts(table: Table, rows: pa.Table) -> Iterator[list[pa.Array]]:
    """The rows in batches, each column as text, as both databases write it; NULL stays NULL."""
    for batch in rows.select(table.names).to_batches(max_chunksize=_BATCH):
        yield [as_text(column.type, values) for column, values in zip(table.columns, batch.columns, strict=True)]


def as_text(column_type: ColumnType, values: pa.Array) -> pa.Array:
    """A column as text: plain decimals with all their places, ISO dates, UTC times with six places, 1 and 0 for booleans."""
    if column_type.name == "boolean":
        return pc.if_else(values, "1", "0")
    if column_type.name == "timestamp":
        return values.cast(pa.timestamp("us")).cast(pa.string())
    if column_type.decimal and column_type.decimal[1] > _LARGEST_PLAIN_SCALE:
        return pa.array([None if value is None else format(value, "f") for value in values.to_pylist()], pa.string())
    return values.cast(pa.string())


def _cast(table: Table, slice_name: str, rows: pa.Table, name: str, column_type: ColumnType) -> pa.ChunkedArray:
    values = rows.column(name)
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


def _fails(values: pa.ChunkedArray, column_type: ColumnType) -> bool:
    try:
        values.cast(column_type.arrow)
    except pa.ArrowInvalid:
        return True
    return False


def _refuse(table: Table, slice_name: str, rows: pa.Table, name: str, wrong: pa.ChunkedArray, complaint: str) -> None:
    index = pc.index(wrong, True).as_py()
    if index >= 0:
        raise AuditFailed(f"{table.name} {slice_name}: {name} of the row {key_of(table, rows, index)} {complaint}: nothing was published.")


def _bounds(column_type: ColumnType) -> Sequence[pa.Scalar]:
    if column_type.name == "date":
        return pa.scalar(_FIRST), pa.scalar(_LAST)
    first = datetime(1, 1, 1, tzinfo=timezone.utc)
    return pa.scalar(first, column_type.arrow), pa.scalar(datetime(9999, 12, 31, 23, 59, 59, 999999, timezone.utc), column_type.arrow)
