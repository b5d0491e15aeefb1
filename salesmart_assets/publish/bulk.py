"""Rows into a table of the database as fast as the server lets us, and what the rows of a table add up to there.

Belongs here: the two ways to load and the SQL side of `rows.Totals`. Does not belong here: when to load and what to make of
the totals.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from salesmart_assets.contracts import ColumnType, Table
from salesmart_assets.errors import AuditFailed
from salesmart_assets.publish.changes import CHECKSUM
from salesmart_assets.publish.rows import ABSENT, SEPARATOR, Mark, Totals, as_texts, key_of, scale_of
from salesmart_assets.publish.schema import sqlite_decimal
from salesmart_assets.publish.wire import WireConnection

LOAD_DATA, INSERT = "load_data", "insert"
_ROWS_PER_INSERT = 1_000
_ROWS_PER_FETCH = 50_000
_PART = 1_000_000
# By its collation the whole line is UTF-8, also where somebody gave a table another character set.
_IN_UTF8 = sa.collate(sa.literal(SEPARATOR), "utf8mb4_bin")
# Two floats that are so near to each other, for their size, are read as the same decimal of up to 15 digits.
_ROUNDING = 4e-16
# Python's usual 28 digits are too few for a sum of decimals of 38.
_EXACT = Context(prec=100)
# Not allowed by the server (MySQL 5.7, MySQL 8, MariaDB), not allowed by this client library.
_LOAD_REFUSED = (1148, 3948, 4166, 2068)
# A backslash first, or it would be doubled in what the others have written.
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\\0"))
_ESCAPED = r"[\\\t\n\r\x00]"
_WARNED_ROW = re.compile(r"at row (\d+)")
_WARNED_COLUMN = re.compile(r"column [`'\"](?:[^`'\"]*[`'\"]\.[`'\"])*([^`'\"]+)[`'\"]")


def bulk_load_method(engine: sa.Engine) -> str:
    """`load_data` where the server takes rows in bulk (`LOAD DATA LOCAL INFILE`), else `insert`."""
    with engine.connect() as connection:
        return _method(connection)


def load_rows(connection: sa.Connection, table: Table, at: sa.Table, rows: pa.Table) -> None:
    """Put the rows into the table `at`, in the transaction that is under way.

    Raises `AuditFailed`, with the key of the row, for a value that the database does not take as it is.
    """
    if not rows.num_rows:
        return
    if connection.dialect.name == "sqlite":
        _insert_sqlite(connection, table, at, rows)
    elif _method(connection) == INSERT or not _load_data(connection, table, at, rows):
        _insert_mysql(connection, table, at, rows)


def standing_mark(connection: sa.Connection, table: Table, at: sa.Table, condition: sa.ColumnElement[bool]) -> Mark:
    """The mark of the rows of a table in the database, locking them until the end of the transaction where rows can be locked."""
    rows, fingerprint = _added_up(connection, _fingerprint(connection, table, at), at, condition)
    return Mark(rows, int(fingerprint or 0))


def standing_totals(
    connection: sa.Connection, table: Table, at: sa.Table, condition: sa.ColumnElement[bool], among: sa.Table | None = None
) -> Totals:
    """As `standing_mark`, and the exact sums; with `among`, a table of keys, only of the rows that have one of these."""
    columns = _fingerprint(connection, table, at)
    if connection.dialect.name == "sqlite":
        columns += [_sqlite_sum(at, name, scale_of(table, name)) for name in table.money_columns]
    else:
        columns += [sa.func.sum(at.c[name]) for name in table.money_columns]
    source = at if among is None else sa.join(among, at, same_key(table, among, at))
    rows, fingerprint, *sums = _added_up(connection, columns, source, condition)
    exact = {}
    for name, value in zip(table.money_columns, sums, strict=True):
        exact[name] = Decimal(format(Decimal(value or 0), f".{scale_of(table, name)}f"))
    return Totals(rows, exact, int(fingerprint or 0))


def _fingerprint(connection: sa.Connection, table: Table, at: sa.Table) -> list[sa.ColumnElement[Any]]:
    line, key = _line(connection, table, at), _key_line(connection, table, at)
    if connection.dialect.name == "sqlite":
        return [sa.func.salesmart_fingerprint(line, key)]
    return [sa.func.sum(sa.func.crc32(line) * (sa.func.crc32(key) + 1))]


def _added_up(
    connection: sa.Connection, columns: Sequence[sa.ColumnElement[Any]], source: sa.FromClause, condition: sa.ColumnElement[bool]
) -> Sequence[Any]:
    if connection.dialect.name == "sqlite":
        _teach_sqlite(connection)
    # On MySQL, what others have committed since this transaction's snapshot counts too: a locking read sees it.
    query = sa.select(sa.func.count(), *columns).select_from(source).where(condition).with_for_update()
    return connection.execute(query).one()


def standing_checksums(connection: sa.Connection, table: Table, at: sa.Table, condition: sa.ColumnElement[bool]) -> pa.Table:
    """The keys of the rows of a table in the database, each with its row's `CHECKSUM`, as `rows.checksums` takes it."""
    if connection.dialect.name == "sqlite":
        _teach_sqlite(connection)
    checksum = sa.func.crc32(_line(connection, table, at), type_=sa.BigInteger)
    query = sa.select(*(at.c[name] for name in table.key), checksum).where(condition).with_for_update()
    schema = pa.schema([*(table.column(name).arrow for name in table.key), pa.field(CHECKSUM, pa.uint64())])
    parts = connection.execute(query.execution_options(yield_per=_ROWS_PER_FETCH)).partitions()
    return pa.Table.from_batches([_batch(part, schema) for part in parts], schema)


def _batch(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(schema, zip(*rows, strict=True), strict=True)
    return pa.RecordBatch.from_arrays([pa.array(values, field.type) for field, values in columns], schema=schema)


def same_key(table: Table, one: sa.Table, other: sa.Table) -> sa.ColumnElement[bool]:
    """Whether a row of one table has the key of a row of the other."""
    return sa.and_(*(one.c[name] == other.c[name] for name in table.key))


def _method(connection: sa.Connection) -> str:
    if connection.dialect.name != "mysql":
        return INSERT
    return LOAD_DATA if connection.exec_driver_sql("SELECT @@GLOBAL.local_infile").scalar() in (1, "1", "ON") else INSERT


def _load_data(connection: sa.Connection, table: Table, at: sa.Table, rows: pa.Table) -> bool:
    """Load in bulk; False if the server does not let us after all."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, WireConnection)
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(preparer.quote(name) for name in table.names)
    with driver.offer(file_lines(table, rows)) as name:
        try:
            loaded = connection.exec_driver_sql(
                f"LOAD DATA LOCAL INFILE '{name}' INTO TABLE {preparer.format_table(at)} CHARACTER SET utf8mb4 "
                rf"FIELDS TERMINATED BY '\t' ESCAPED BY '\\' LINES TERMINATED BY '\n' ({names})"
            ).rowcount
        except sa.exc.DBAPIError as error:
            if error.orig is not None and error.orig.args[:1] and error.orig.args[0] in _LOAD_REFUSED:
                return False
            raise
    # LOCAL turns errors into warnings, drops duplicates and shortens values: any warning is an error here.
    warnings = connection.exec_driver_sql("SHOW WARNINGS").all()
    if warnings:
        raise _misfit(table, rows, str(warnings[0][2]), 0)
    if loaded != rows.num_rows:
        raise AuditFailed(f"{table.name}: the database took {loaded} of {rows.num_rows} rows: nothing was published.")
    return True


def file_lines(table: Table, rows: pa.Table) -> Iterator[bytes]:
    """The rows as `LOAD DATA` reads them, in parts of many lines."""
    strings = [index for index, column in enumerate(table.columns) if column.type.name == "string"]
    for texts in as_texts(table, rows):
        for index in strings:
            if pc.any(pc.match_substring_regex(texts[index], _ESCAPED)).as_py():
                for sign, escaped in _ESCAPES:
                    texts[index] = pc.replace_substring(texts[index], sign, escaped)
        lines = pc.binary_join_element_wise(  # type: ignore[call-overload]
            *texts, "\t", null_handling="replace", null_replacement="\\N"
        )
        yield b"\n".join([*lines.cast(pa.binary()).to_pylist(), b""])


def _insert_mysql(connection: sa.Connection, table: Table, at: sa.Table, rows: pa.Table) -> None:
    statement = _insert_statement(connection, table, at, "%s")
    start = 0
    for texts in as_texts(table, rows):
        values = list(zip(*(text.to_pylist() for text in texts), strict=True))
        for offset in range(0, len(values), _ROWS_PER_INSERT):
            part = values[offset : offset + _ROWS_PER_INSERT]
            try:
                with connection.begin_nested():
                    connection.exec_driver_sql(statement, part)
            except (sa.exc.DataError, sa.exc.IntegrityError):
                _insert_singly(connection, table, statement, part, rows, start + offset)
        start += len(values)


def _insert_singly(
    connection: sa.Connection, table: Table, statement: str, part: Sequence[tuple[Any, ...]], rows: pa.Table, start: int
) -> None:
    """Find the row that the database does not take."""
    for index, values in enumerate(part):
        try:
            connection.exec_driver_sql(statement, values)
        except (sa.exc.DataError, sa.exc.IntegrityError) as error:
            raise _misfit(table, rows, str(error.orig), start + index) from None


def _insert_sqlite(connection: sa.Connection, table: Table, at: sa.Table, rows: pa.Table) -> None:
    statement = _insert_statement(connection, table, at, "?")
    for texts in as_texts(table, rows):
        columns = [_sqlite_values(column.type, text) for column, text in zip(table.columns, texts, strict=True)]
        connection.exec_driver_sql(statement, list(zip(*columns, strict=True)))


def _sqlite_values(column_type: ColumnType, texts: pa.Array[Any]) -> Sequence[Any]:
    if column_type.decimal:
        return [sqlite_decimal(text) for text in texts.to_pylist()]
    return (texts.cast(pa.int64()) if column_type.name in ("integer", "boolean") else texts).to_pylist()


def _insert_statement(connection: sa.Connection, table: Table, at: sa.Table, mark: str) -> str:
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(preparer.quote(name) for name in table.names)
    # Names from the contract, quoted; the values are bound.
    return f"INSERT INTO {preparer.format_table(at)} ({names}) VALUES ({', '.join([mark] * len(table.names))})"  # noqa: S608


def _misfit(table: Table, rows: pa.Table, message: str, start: int) -> AuditFailed:
    """The error for a value the database did not take. Its own message may repeat the value, so it is not passed on."""
    column, row = _WARNED_COLUMN.search(message), _WARNED_ROW.search(message)
    index = start + int(row[1]) - 1 if row and int(row[1]) > 0 else start
    where = f"the row {key_of(table, rows, index)}" if index < rows.num_rows else "a row"
    what = f"its {column[1]}" if column else "a value"
    return AuditFailed(
        f"{table.name}: the database does not take {where} as it is ({what} does not fit the column, or the key is there twice): "
        "nothing was published. Correct the row, or widen the type in the contract."
    )


def _line(connection: sa.Connection, table: Table, at: sa.Table) -> sa.ColumnElement[str]:
    """A row's text, as `rows.totals` takes it."""
    if connection.dialect.name == "sqlite":
        return _joined(sa.func.coalesce(_sqlite_text(at, c.name, c.type), ABSENT) for c in table.columns)
    may_be_null = [c.nullable and c.name not in table.key for c in table.columns]
    fields = [sa.func.ifnull(at.c[n], ABSENT) if null else at.c[n] for n, null in zip(table.names, may_be_null, strict=True)]
    return sa.func.concat_ws(_IN_UTF8, *fields)


def _key_line(connection: sa.Connection, table: Table, at: sa.Table) -> sa.ColumnElement[str]:
    """The text of a row's key, as `rows.totals` takes it."""
    columns = [c for c in table.columns if c.name in table.key]
    if connection.dialect.name == "sqlite":
        return _joined(_sqlite_text(at, c.name, c.type) for c in columns)
    return sa.func.concat_ws(_IN_UTF8, *(at.c[c.name] for c in columns))


def _joined(parts: Iterable[sa.ColumnElement[str]]) -> sa.ColumnElement[str]:
    return sa.cast(functools.reduce(lambda line, part: line.concat(SEPARATOR).concat(part), parts), sa.Text())


def _sqlite_text(at: sa.Table, name: str, column_type: ColumnType) -> sa.ColumnElement[str]:
    """A column as `rows.as_text` writes it; a decimal that is none, as only other hands could store it, in a way of its own."""
    stored = sa.type_coerce(at.c[name], sa.Text())
    if not column_type.decimal:
        return stored
    plain = sa.func.printf(f"%.{column_type.decimal[1]}f", stored)
    number = sa.type_coerce(at.c[name], sa.Float())
    # It has more places than the column, or is no number: what is rounded away must not pass for equal.
    is_plain = sa.func.abs(number - sa.cast(plain, sa.Float())) <= sa.func.abs(number) * sa.literal(_ROUNDING)
    return sa.case(
        (stored.is_(None), None),
        (sa.func.typeof(stored) == "blob", sa.cast(stored, sa.Text())),
        (sa.and_(sa.func.typeof(stored) != "text", is_plain), plain),
        else_=sa.literal("?").concat(sa.cast(stored, sa.Text())),
    )


def _sqlite_sum(at: sa.Table, name: str, scale: int) -> sa.ColumnElement[Any]:
    """The exact sum of a money column, as text; see `schema.sqlite_decimal` for how it is stored.

    Numbers have up to 15 digits, so that the nearest whole number of hundredths (…) is exact, and are added as integers, in
    two parts that can't overflow.
    """
    stored = sa.type_coerce(at.c[name], sa.Float())
    is_long = sa.func.typeof(stored) == "blob"
    units = sa.cast(sa.func.round(stored * sa.literal(float(10**scale))), sa.BigInteger)
    high, low = (sa.func.sum(part).filter(~is_long) for part in (units.op("/")(_PART), units.op("%")(_PART)))
    long = sa.func.salesmart_sum(sa.cast(stored, sa.Text())).filter(is_long)
    return sa.func.salesmart_add(high, low, long, scale)


def _add(high: int | None, low: int | None, long: str | None, scale: int) -> str:
    units = (high or 0) * _PART + (low or 0)
    return format(_EXACT.add(_EXACT.scaleb(Decimal(units), -scale), Decimal(long or 0)), "f")


class _Sum:
    """SQLite has no exact sum of decimals."""

    def __init__(self) -> None:
        self.total = Decimal(0)

    def step(self, text: str) -> None:
        self.total = _EXACT.add(self.total, Decimal(text))

    def finalize(self) -> str:
        return format(self.total, "f")


class _Fingerprint:
    def __init__(self) -> None:
        self.total = 0

    def step(self, line: str, key: str) -> None:
        self.total += zlib.crc32(line.encode()) * (zlib.crc32(key.encode()) + 1)

    def finalize(self) -> str:
        return str(self.total)


def _teach_sqlite(connection: sa.Connection) -> None:
    driver: Any = connection.connection.dbapi_connection
    driver.create_function("salesmart_add", 4, _add, deterministic=True)
    driver.create_aggregate("salesmart_sum", 1, _Sum)
    driver.create_aggregate("salesmart_fingerprint", 2, _Fingerprint)
    driver.create_function("crc32", 1, lambda line: zlib.crc32(line.encode()), deterministic=True)
