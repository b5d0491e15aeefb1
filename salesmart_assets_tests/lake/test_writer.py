"""Rows in the files of their partitions, however they come."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from salesmart_assets.contracts import build_tables, load_contracts
from salesmart_assets.lake import Lake, writer
from salesmart_assets.settings import Settings

NAME = "daily_customer_sales"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(Settings.load(home=tmp_path), build_tables(load_contracts()))


def rows(lake: Lake, start: int, count: int, days: int) -> pa.Table:
    numbers = range(start, start + count)
    columns = {
        "customer_id": list(numbers),
        "sales_date": [date(2026, 1, 1 + number % days) for number in numbers],
        "total_sales": [Decimal(number) for number in numbers],
        "orders": [1] * count,
    }
    table = lake.tables[NAME]
    return pa.table({name: columns[name] for name in table.names}).cast(table.arrow)


def write(lake: Lake, *, batches: int, count: int, days: int) -> dict[str, pq.ParquetFile]:
    with writer.PartitionWriter(lake, lake.tables[NAME], "part") as into:
        for number in range(batches):
            into.write(rows(lake, number * count, count, days))
            assert into._waiting == sum(file.waiting_bytes for file in into._open.values())
            assert into._waiting <= writer._WAITING_BYTES
    assert sum(file.rows for file in into.files) == batches * count
    return {file.value("sales_date") or "": pq.ParquetFile(f"{lake.path(NAME)}/{file.path}") for file in into.files}


def test_small_writes_share_a_row_group_and_keep_their_order(lake: Lake) -> None:
    files = write(lake, batches=20, count=300, days=3)
    assert [file.num_row_groups for file in files.values()] == [1, 1, 1]
    for day, file in files.items():
        found = file.read(["customer_id"])["customer_id"].to_pylist()
        assert found == [n for n in range(20 * 300) if str(date(2026, 1, 1 + n % 3)) == day]


@pytest.mark.parametrize("days", [1, 3, 28])
def test_only_the_chosen_rows_are_written(lake: Lake, days: int) -> None:
    """A day of which no row is chosen has no file."""
    table = rows(lake, 0, 300, days)
    chosen = np.array([number % 7 > 1 and number % days != 2 for number in range(300)])
    with writer.PartitionWriter(lake, lake.tables[NAME], "part") as into:
        into.write(table, chosen)
        into.write(table, np.zeros(300, np.bool_))
    expected: dict[str, list[int]] = {}
    for number in np.flatnonzero(chosen).tolist():
        expected.setdefault(str(date(2026, 1, 1 + number % days)), []).append(number)
    found = {f.value("sales_date"): pq.read_table(f"{lake.path(NAME)}/{f.path}")["customer_id"].to_pylist() for f in into.files}
    assert found == expected


def test_numbers_and_amounts_are_stored_as_differences(lake: Lake) -> None:
    """Amounts of more digits than a whole number of 64 bits has are not."""
    table = lake.tables["stg_sales"]
    values = {"quantity": 2, "price": Decimal("1.50"), "sales_date": date(2026, 1, 1)}
    line = pa.table({field.name: pa.array([values.get(field.name)] * 3, field.type) for field in table.arrow})
    with writer.PartitionWriter(lake, table, "part") as into:
        into.write(line)
    (file,) = into.files
    sold, totals = pq.ParquetFile(f"{lake.path(table.name)}/{file.path}"), write(lake, batches=1, count=3, days=1).popitem()[1]
    expected = {"quantity": "INT64", "price": "INT64", "customer_id": "INT64", "total_sales": "FIXED_LEN_BYTE_ARRAY"}
    for name, kind in expected.items():
        group = (sold if name in values else totals).metadata.row_group(0)
        column = next(column for column in map(group.column, range(group.num_columns)) if column.path_in_schema == name)
        assert (column.physical_type, "DELTA_BINARY_PACKED" in column.encodings) == (kind, kind == "INT64"), name
    assert sold.read(["price"])["price"].to_pylist() == [Decimal("1.50")] * 3


def test_what_waits_is_bounded_in_each_file_and_in_all(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_GROUP_BYTES", 4_000)
    monkeypatch.setattr(writer, "_WAITING_BYTES", 20_000)
    files = write(lake, batches=20, count=300, days=28)
    assert len(files) == 28
    assert sum(file.metadata.num_rows for file in files.values()) == 20 * 300
    assert max(file.num_row_groups for file in files.values()) > 1
