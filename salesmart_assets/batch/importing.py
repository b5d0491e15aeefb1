"""Bringing over the members of another system of this kind: its tables in MySQL become files of the sources.

What those systems keep there: customer, store, product and sales_team, by the names that the packaged contracts know as aliases.
Belongs here: reading these tables, and landing them. Does not belong here: what becomes of the files (`landing`, `staging`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from salesmart_assets.batch.locations import landing_place
from salesmart_assets.batch.platform import SCRATCH, Platform
from salesmart_assets.contracts import Contract
from salesmart_assets.errors import UsageError
from salesmart_assets.publish.database import describe, open_database

SOURCE_OF_TABLE = {"customer": "customers", "store": "stores", "product": "products", "sales_team": "sales_team"}


@dataclass(frozen=True, slots=True)
class Imported:
    """A table whose rows were landed, and where."""

    table: str
    rows: int
    address: str


def import_tables(platform: Platform, url: str, day: date) -> list[Imported]:
    """Land each of the tables that the database has and that has rows, as JSON lines under the batch date.

    Raises `UsageError` if it has none of them, and what `open_database` raises.
    """
    engine = open_database(url, create=False)
    try:
        with engine.connect() as connection, tempfile.TemporaryDirectory(prefix=SCRATCH) as scratch:
            there = {name for name in sa.inspect(connection).get_table_names() if name in SOURCE_OF_TABLE}
            if not there:
                raise UsageError(
                    f"{describe(url)} has none of the tables {', '.join(SOURCE_OF_TABLE)}: nothing was landed. Is it the right one?"
                )
            places = {table: landing_place(platform, source) for table, source in SOURCE_OF_TABLE.items() if table in there}
            landed = []
            for table, place in places.items():
                path = Path(scratch, f"{table}.jsonl")
                rows = _write(connection, table, platform.contracts[place.source], path)
                if rows:
                    key = platform.zone.put(path, place.source, day, bucket=place.bucket, prefix=place.prefix)
                    landed.append(Imported(table, rows, f"s3://{place.bucket}/{key}"))
            return landed
    finally:
        engine.dispose()


def _write(connection: sa.Connection, table: str, contract: Contract, path: Path) -> int:
    """Write the rows of a table; returns their number. Columns that a file must have and the table lacks are there, empty."""
    found = connection.execution_options(stream_results=True).execute(sa.select(sa.text("*")).select_from(sa.table(table)))
    known = contract.spellings()
    names = list(found.keys())
    given = {known.get(name.lower()) for name in names}
    empty = dict.fromkeys(name for name in contract.mandatory if name not in given)
    count = 0
    with path.open("w", encoding="utf-8") as lines:
        for row in found.mappings():
            lines.write(json.dumps(_plain(row) | empty, ensure_ascii=False) + "\n")
            count += 1
    return count


def _plain(row: Mapping[Any, Any]) -> dict[str, object]:
    """A row as JSON has it: amounts by their digits, days and times as ISO 8601 writes them, a day at midnight as that day."""
    plain: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, datetime) and value.time() == time():
            plain[name] = value.date().isoformat()
        else:
            plain[name] = value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, Decimal) else value
    return plain
