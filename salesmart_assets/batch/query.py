"""SQL over the lake, for people: each table that a query names is read at its newest version."""

from __future__ import annotations

import re

from pyspark.errors import PySparkException

from salesmart_assets.batch.platform import Platform
from salesmart_assets.errors import UsageError


def run_query(platform: Platform, sql: str) -> tuple[list[dict[str, object]], list[str]]:
    """The rows of a query, and its columns. Raises `UsageError` with the engine's first line for SQL that it refuses."""
    words = set(re.findall(r"\w+", sql.lower()))
    for table in platform.tables:
        if table.name in words:
            platform.frame(platform.lake.snapshot(table.name)).createOrReplaceTempView(table.name)
    try:
        rows = platform.session.sql(sql).toArrow()
    except PySparkException as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        names = ", ".join(table.name for table in platform.tables)
        raise UsageError(f"The query was refused: {first.rstrip('.')}. Tables are {names}.") from None
    twice = sorted({name for name in rows.column_names if rows.column_names.count(name) > 1})
    if twice:
        raise UsageError(f"Several columns of the query are called {', '.join(twice)}: give each a name of its own with AS.")
    return rows.to_pylist(), list(rows.column_names)
