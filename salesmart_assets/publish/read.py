"""Reading published tables back, for previews and checks, with the contract's types."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from salesmart_assets.contracts import Table
from salesmart_assets.publish.schema import database_table


def read_table(engine: sa.Engine, table: Table, limit: int | None = None, order_by: Sequence[str] | None = None) -> pa.Table:
    """The rows of a published table, at most `limit`, ordered by its key or by the columns named; `-NAME` means descending.

    Personal data is not masked.
    """
    published = database_table(table, sa.MetaData())
    order = [published.c[name[1:]].desc() if name.startswith("-") else published.c[name] for name in order_by or table.key]
    query = sa.select(*(published.c[name] for name in table.names)).order_by(*order).limit(limit)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    columns: list[Any] = [list(values) for values in zip(*rows, strict=True)] or [[] for _ in table.names]
    for index, column in enumerate(table.columns):
        if column.type.name == "timestamp":
            columns[index] = [None if value is None else value.replace(tzinfo=timezone.utc) for value in columns[index]]
    return pa.table(columns, schema=table.arrow)
