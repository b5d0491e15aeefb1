"""One column of a table, and its type in each of the languages that salesmart speaks.

A type is written as in a contract: `integer`, `string`, `date`, `timestamp`, `boolean` or `decimal(P,S)`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import sqlalchemy as sa

# Arrow and SQLAlchemy are imported where a type is asked for: whoever only shows the graph waits for neither.
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_SPARK = {"integer": "bigint", "string": "string", "date": "date", "timestamp": "timestamp", "boolean": "boolean"}
_TEXT_LENGTH = 255


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column type, by its contract name.

    >>> ColumnType("decimal(18,2)").arrow
    Decimal128Type(decimal128(18, 2))
    >>> ColumnType("integer").spark
    'bigint'
    """

    name: str

    def __post_init__(self) -> None:
        if self.name in _SPARK:
            return
        match = _DECIMAL.fullmatch(self.name)
        if match is None:
            raise ValueError(f"unknown type {self.name!r}: use {', '.join(_SPARK)} or decimal(PRECISION,SCALE)")
        precision, scale = int(match[1]), int(match[2])
        if not (1 <= precision <= 38 and scale <= precision):
            raise ValueError(f"{self.name}: precision is 1 to 38, scale 0 to the precision")

    @property
    def decimal(self) -> tuple[int, int] | None:
        """(precision, scale) of a decimal type, else None."""
        match = _DECIMAL.fullmatch(self.name)
        return (int(match[1]), int(match[2])) if match else None

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type: 64-bit integers, date32, microseconds in UTC."""
        import pyarrow as pa

        if self.decimal:
            return pa.decimal128(*self.decimal)
        plain: dict[str, pa.DataType] = {
            "integer": pa.int64(),
            "string": pa.string(),
            "date": pa.date32(),
            "timestamp": pa.timestamp("us", tz="UTC"),
            "boolean": pa.bool_(),
        }
        return plain[self.name]

    @property
    def spark(self) -> str:
        """The type in Spark's DDL."""
        return self.name.replace(" ", "") if self.decimal else _SPARK[self.name]

    def sql(self, *, key: bool = False, length: int | None = None) -> sa.types.TypeEngine[Any]:
        """The SQLAlchemy type. A string in a key is bounded and compares byte by byte; other strings are text unless `length` is given."""
        import sqlalchemy as sa
        from sqlalchemy.dialects import mysql

        if self.decimal:
            return sa.Numeric(*self.decimal, asdecimal=True)
        if self.name == "string":
            length = length or (_TEXT_LENGTH if key else None)
            if length is None:
                return sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
            return sa.String(length).with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
        plain: dict[str, sa.types.TypeEngine[Any]] = {
            "integer": sa.BigInteger(),
            "date": sa.Date(),
            "timestamp": sa.DateTime(timezone=False).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"),
            "boolean": sa.Boolean(),
        }
        return plain[self.name]


HIDDEN = "•••"
"""What stands in the place of personal data where people look in passing."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name, type and what it means.

    `pii` marks personal data: whole only in the tables, masked wherever people look in passing.
    """

    name: str
    type: ColumnType
    description: str
    nullable: bool = True
    pii: bool = False

    @property
    def arrow(self) -> pa.Field[Any]:
        """The Arrow field; nullability is checked by contracts and audits, not by Arrow."""
        import pyarrow as pa

        return pa.field(self.name, self.type.arrow)


def column(name: str, type_name: str, description: str, *, required: bool = False, pii: bool = False) -> Column:
    """Short form for declaring a `Column` in a table's definition."""
    return Column(name, ColumnType(type_name), description, nullable=not required, pii=pii)
