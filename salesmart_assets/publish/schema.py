"""The published tables in the database: made from the contracts' tables, and brought up to date without losing data.

Columns and types come from `contracts`. A new column or a wider type is applied; whatever could lose a value stops with the
table, the column and what to do.

**Decimals.** MySQL and MariaDB have them. SQLite has none, and its NUMERIC goes through floating point. So a decimal of up
to 15 digits is stored there as a number, which reads back exactly and adds, sorts and compares as an analyst expects; a
longer one as its digits in a BLOB, so that not a digit is lost: `SUM` takes it as a number, comparisons take it as greater
than any number, and `CAST(x AS TEXT)` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.types import UserDefinedType

from salesmart_assets.contracts import Column, ColumnType, Table
from salesmart_assets.errors import Permanent

_MYSQL_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_LONGEST_COMMENT = 1024
_INDEXED_PREFIX = 64
_LOOKED_UP = ("store_id", "sales_person_id", "customer_id", "product_id", "manager_id")
_EXACT_DIGITS = 15
_UNBOUNDED = 1 << 30
_TEXTS = {mysql.LONGTEXT: _UNBOUNDED, mysql.MEDIUMTEXT: (1 << 24) // 4, mysql.TEXT: (1 << 16) // 4, mysql.TINYTEXT: (1 << 8) // 4}
_INTEGER_DIGITS = 19
Kind = tuple[str, int, int]
"""Family of a type and two numbers that may only grow: (decimal, digits before the point, after), (string, length, 0) …"""


def sqlite_decimal(text: str | None) -> float | bytes | None:
    """A decimal, given as plain text with all its places, as SQLite keeps it.

    >>> sqlite_decimal("12.30"), sqlite_decimal("12345678901234567.89")
    (12.3, b'12345678901234567.89')
    """
    if text is None:
        return None
    digits = text.lstrip("-").replace(".", "").lstrip("0")
    return float(text) if len(digits) <= _EXACT_DIGITS else text.encode()


class SqliteDecimal(UserDefinedType[Decimal]):
    """An exact decimal on SQLite; see the module's text."""

    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        self.precision, self.scale = precision, scale

    def get_col_spec(self, **_: Any) -> str:
        """The declared type, as on the other databases."""
        return f"DECIMAL({self.precision}, {self.scale})"

    def bind_processor(self, _dialect: sa.Dialect) -> Callable[[Decimal | None], float | bytes | None]:
        """What makes a parameter of a decimal."""
        places = f".{self.scale}f"
        return lambda value: None if value is None else sqlite_decimal(format(value, places))

    def result_processor(self, _dialect: sa.Dialect, _coltype: object) -> Callable[[float | bytes | None], Decimal | None]:
        """What makes a decimal of what is stored."""
        scale = self.scale

        def process(value: float | bytes | None) -> Decimal | None:
            if value is None:
                return None
            text = value.decode() if isinstance(value, bytes) else format(Decimal(repr(value)), f".{scale}f")
            return Decimal(text)

        return process


def column_type(column: Column, *, key: bool = False) -> sa.types.TypeEngine[Any]:
    """The type of a column in the database."""
    declared = column.type.sql(key=key)
    return declared.with_variant(SqliteDecimal(*column.type.decimal), "sqlite") if column.type.decimal else declared


def database_table(table: Table, metadata: sa.MetaData) -> sa.Table:
    """The published table: the contract's columns and key, with indexes on what analysts look up."""
    made = sa.Table(
        table.name,
        metadata,
        *(
            sa.Column(
                c.name,
                column_type(c, key=c.name in table.key),
                primary_key=c.name in table.key,
                autoincrement=False,
                nullable=c.nullable and c.name not in table.key,
                comment=c.description[:_LONGEST_COMMENT],
            )
            for c in table.columns
        ),
        sa.PrimaryKeyConstraint(*table.key),
        comment=f"{table.grain[0].upper()}{table.grain[1:]}.",
        **_MYSQL_OPTIONS,
    )
    for name in _LOOKED_UP:
        if name in table.names and name != table.key[0]:
            bounded = table.column(name).type.name != "string" or name in table.key
            sa.Index(f"ix_{table.name}_{name}", made.c[name], mysql_length=None if bounded else {name: _INDEXED_PREFIX})
    return made


def keys_table(table: Table, metadata: sa.MetaData) -> sa.Table:
    """A temporary table for keys of the published one, that only the session which fills it sees and that goes with it."""
    return sa.Table(
        f"keys_{table.name}",
        metadata,
        *(sa.Column(c.name, column_type(c, key=True), primary_key=True, autoincrement=False) for c in table.columns if c.name in table.key),
        prefixes=["TEMPORARY"],
        **_MYSQL_OPTIONS,
    )


def publication_table(metadata: sa.MetaData) -> sa.Table:
    """What is published: one row per slice, written in the transaction that makes the slice visible."""

    def text(length: int) -> sa.types.TypeEngine[Any]:
        return ColumnType("string").sql(length=length)

    return sa.Table(
        "publication",
        metadata,
        sa.Column("mart", text(64), nullable=False, comment="Published table."),
        sa.Column("slice", text(64), nullable=False, comment="Month of a mart by its first day, or `all` for a dimension."),
        sa.Column("lake_version", sa.BigInteger, nullable=False, comment="Version of the table in the lake that the rows were read at."),
        sa.Column("row_count", sa.BigInteger, nullable=False, comment="Rows of the slice."),
        sa.Column("sums", ColumnType("string").sql(), nullable=False, comment="Exact sum of each money column, as JSON."),
        sa.Column("fingerprint", text(64), nullable=False, comment="What all values of the slice add up to, as `publish.rows` does it."),
        sa.Column("lake_files", text(64), nullable=False, comment="Tells the lake's files of the slice from any others."),
        sa.Column("changed_rows", sa.BigInteger, nullable=False, comment="Rows that this publication added, changed or removed."),
        sa.Column("run_id", text(255), nullable=False, comment="Run that published the slice."),
        sa.Column("token", text(36), nullable=False, comment="Tells the transaction, if its commit was cut off."),
        sa.Column("is_stale", sa.Boolean, nullable=False, comment="Whether the table was altered since, so that the slice is due again."),
        sa.Column("published_at", ColumnType("timestamp").sql(), nullable=False, comment="Time of publication, UTC."),
        sa.PrimaryKeyConstraint("mart", "slice"),
        comment="Slices of the published tables, as they were last published.",
        **_MYSQL_OPTIONS,
    )


def is_up_to_date(connection: sa.Connection, tables: Sequence[sa.Table]) -> bool:
    """Whether the tables stand as wanted. Raises `Permanent` as `bring_up_to_date` does."""
    inspector = sa.inspect(connection)
    if not {table.name for table in tables} <= set(inspector.get_table_names()):
        return False
    return not any(any(_plan(inspector, table)) or _missing_indexes(inspector, table) for table in tables)


def bring_up_to_date(connection: sa.Connection, publication: sa.Table, tables: Sequence[sa.Table]) -> None:
    """Create and alter tables until they are as wanted.

    All tables are looked at before anything is altered. A table that gained a column or was created marks its publications
    as stale first, so that every slice is published again, even after a crash in between.
    Raises `Permanent` for a change that could lose values.
    """
    inspector = sa.inspect(connection)
    present = set(inspector.get_table_names())
    plans = {table.name: _plan(inspector, table) for table in (publication, *tables) if table.name in present}
    if publication.name not in present:
        publication.create(connection)
    else:
        _apply(connection, inspector, publication, plans[publication.name])
    for table in tables:
        added, altered = plans.get(table.name, ([], []))
        if table.name not in present or added:
            connection.execute(sa.update(publication).where(publication.c.mart == table.name).values(is_stale=True))
        _free_index_names(connection, table)
        if table.name not in present:
            table.create(connection)
            continue
        _apply(connection, inspector, table, (added, altered))
        for index in _missing_indexes(sa.inspect(connection), table):
            index.create(connection)


Plan = tuple[list[sa.Column[Any]], list[sa.Column[Any]]]


def _missing_indexes(inspector: sa.Inspector, table: sa.Table) -> list[sa.Index]:
    indexed = {item["name"] for item in inspector.get_indexes(table.name)}
    return sorted((index for index in table.indexes if index.name not in indexed), key=lambda index: str(index.name))


def _plan(inspector: sa.Inspector, table: sa.Table) -> Plan:
    """(columns to add, columns to widen or to relax)."""
    dialect = inspector.dialect
    found = {item["name"]: item for item in inspector.get_columns(table.name)}
    key, wanted_key = inspector.get_pk_constraint(table.name)["constrained_columns"], [c.name for c in table.primary_key.columns]
    if key != wanted_key:
        raise Permanent(
            f"The key of {table.name} is ({', '.join(key)}) in the database and ({', '.join(wanted_key)}) by the contract: set it back. "
            + _advice(table)
        )
    added, altered = [], []
    for column in table.columns:
        if column.name not in found:
            added.append(column)
            continue
        has, wants = _kind(found[column.name]["type"], dialect), _kind(column.type, dialect)
        if not _holds(wants, has):
            raise Permanent(
                f"{table.name}.{column.name} is {found[column.name]['type']} in the database and {column.type.compile(dialect)} by the "
                f"contract: values could be lost. Set the contract back to a type that holds both. {_advice(table)}"
            )
        if has != wants or (column.nullable and not found[column.name]["nullable"]):
            altered.append(column)
    for name, item in found.items():
        if name not in table.columns and not item["nullable"] and item.get("default") is None:
            # A column that is no longer ours must not stop rows that know nothing of it.
            altered.append(sa.Column(name, item["type"], nullable=True))
    return added, altered


def _free_index_names(connection: sa.Connection, table: sa.Table) -> None:
    """On SQLite the name of an index is taken as long as a renamed table has it: that table does without."""
    if connection.dialect.name != "sqlite":
        return
    found = connection.exec_driver_sql("SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'")
    for name in {row.name for row in found if row.tbl_name != table.name} & {str(index.name) for index in table.indexes}:
        connection.exec_driver_sql(f"DROP INDEX {connection.dialect.identifier_preparer.quote(name)}")


def _advice(table: sa.Table) -> str:
    rename = f"ALTER TABLE {table.name} RENAME TO {table.name}_old"
    return f"Or rename the table in the database ({rename}): it is then made anew and filled from the lake."


def _apply(connection: sa.Connection, inspector: sa.Inspector, table: sa.Table, plan: Plan) -> None:
    added, altered = plan
    preparer = connection.dialect.identifier_preparer
    name = preparer.format_table(table)
    for column in added:
        # Rows that stand have no value for it yet: whether it is required is checked before each load.
        _execute(connection, f"ALTER TABLE {name} ADD COLUMN {_ddl(connection, column, nullable=True)}")
    if altered and connection.dialect.name == "sqlite":
        _rebuild(connection, inspector, table, altered)
        return
    for column in altered:
        _execute(connection, f"ALTER TABLE {name} MODIFY COLUMN {_ddl(connection, column, nullable=bool(column.nullable))}")


def _rebuild(connection: sa.Connection, inspector: sa.Inspector, table: sa.Table, altered: Sequence[sa.Column[Any]]) -> None:
    """SQLite can't alter a column: copy the table. Columns that are no longer ours come along."""
    inspector.clear_cache()
    preparer = connection.dialect.identifier_preparer
    wanted = {column.name: column for column in (*table.columns, *altered)}
    found = inspector.get_columns(table.name)
    columns = []
    for item in found:
        column = wanted.get(item["name"], sa.Column(item["name"], item["type"]))
        columns.append(_ddl(connection, column, nullable=bool(column.nullable or item["nullable"])))
    names = ", ".join(preparer.quote(c["name"]) for c in found)
    key = ", ".join(preparer.quote(c.name) for c in table.primary_key.columns)
    old, new = preparer.format_table(table), preparer.quote(f"{table.name}__new")
    for statement in (
        f"CREATE TABLE {new} ({', '.join(columns)}, PRIMARY KEY ({key}))",
        f"INSERT INTO {new} ({names}) SELECT {names} FROM {old}",  # noqa: S608 - quoted names only
        f"DROP TABLE {old}",
        f"ALTER TABLE {new} RENAME TO {old}",
    ):
        _execute(connection, statement)


def _ddl(connection: sa.Connection, column: sa.Column[Any], *, nullable: bool) -> str:
    alone = sa.Column(column.name, column.type, nullable=nullable, comment=column.comment)
    return str(sa.schema.CreateColumn(alone).compile(dialect=connection.dialect))


def _execute(connection: sa.Connection, statement: str) -> None:
    connection.exec_driver_sql(statement.replace("%", "%%") if connection.dialect.name == "mysql" else statement)


def _kind(declared: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Kind:
    actual = declared if isinstance(declared, SqliteDecimal) else declared.dialect_impl(dialect)
    kind: Kind = (str(actual), 0, 0)
    if isinstance(actual, (sa.Boolean, mysql.TINYINT)):
        kind = ("boolean", 0, 0)
    elif isinstance(actual, sa.Integer):
        bits = 64 if isinstance(actual, sa.BigInteger) or dialect.name == "sqlite" else 16 if isinstance(actual, sa.SmallInteger) else 32
        kind = ("integer", bits, 0)
    elif isinstance(actual, SqliteDecimal) or (isinstance(actual, sa.Numeric) and not isinstance(actual, sa.Float)):
        precision, scale = actual.precision or 10, actual.scale or 0
        kind = ("decimal", precision - scale, scale)
    elif isinstance(actual, sa.String):
        bounded = next((length for text, length in _TEXTS.items() if isinstance(actual, text)), actual.length)
        kind = ("string", bounded or _UNBOUNDED, 0)
    elif isinstance(actual, sa.DateTime):
        kind = ("timestamp", (getattr(actual, "fsp", None) or 0) if dialect.name == "mysql" else 6, 0)
    elif isinstance(actual, sa.Date):
        kind = ("date", 0, 0)
    return kind


def _holds(wide: Kind, narrow: Kind) -> bool:
    """Whether every value of the second kind is one of the first, unchanged."""
    if wide[0] == narrow[0]:
        return wide[1] >= narrow[1] and wide[2] >= narrow[2]
    if narrow[0] == "boolean":
        return wide[0] == "integer"
    return narrow[0] == "integer" and wide[0] == "decimal" and wide[1] >= _INTEGER_DIGITS
