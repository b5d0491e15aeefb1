"""Another system's tables become files of the sources."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from salesmart_assets.batch.importing import import_tables
from salesmart_assets.errors import Unreachable, UsageError
from salesmart_assets_tests.batches import Batches
from salesmart_assets_tests.conftest import MariaDb

DAY = date(2026, 8, 1)


def test_rows_are_landed_as_they_are(tmp_path: Path, mariadb: MariaDb) -> None:
    """Each row of a table is a line, with amounts by their digits, days as days, and empty what the file must have and the table lacks."""
    mariadb.execute(
        "CREATE DATABASE theirs",
        "CREATE TABLE theirs.product (ID INT, name TEXT, current_price DECIMAL(10,2), created_date DATETIME, expiry_date DATETIME)",
        "INSERT INTO theirs.product VALUES (7, 'Käse, alt', 12345678.90, '2022-05-15 10:30:00', '2027-01-01'), (8, NULL, NULL, NULL, NULL)",
        "CREATE TABLE theirs.store (id INT)",
        "CREATE TABLE theirs.orders (id INT)",
    )
    with Batches(tmp_path / "home").platform() as platform:
        (landed,) = import_tables(platform, mariadb.url("theirs"), DAY)
        key = "landing/products/dt=2026-08-01/product.jsonl"
        assert (landed.table, landed.rows, landed.address) == ("product", 2, f"s3://salesmart/{key}")
        first, second = (json.loads(line) for line in platform.zone.read(key).read().decode().splitlines())
    empty = {"category": None, "cost": None, "stock_on_hand": None}
    assert first == {
        "ID": 7,
        "name": "Käse, alt",
        "current_price": "12345678.90",
        "created_date": "2022-05-15T10:30:00",
        "expiry_date": "2027-01-01",
        **empty,
    }
    assert second == {"ID": 8, "name": None, "current_price": None, "created_date": None, "expiry_date": None, **empty}
    mariadb.execute("DROP DATABASE theirs")


def test_a_database_without_these_tables_is_told(tmp_path: Path, mariadb: MariaDb) -> None:
    """A database that is not there, or has none of the tables, is one clear sentence; none is made."""
    mariadb.execute("CREATE DATABASE empty_one")
    with Batches(tmp_path / "home").platform() as platform:
        with pytest.raises(UsageError, match=r"empty_one has none of the tables customer, store, product, sales_team"):
            import_tables(platform, mariadb.url("empty_one"), DAY)
        with pytest.raises(Unreachable, match="no_such_one"):
            import_tables(platform, mariadb.url("no_such_one"), DAY)
    assert mariadb.execute("SHOW DATABASES LIKE 'no_such_one'") == []
    mariadb.execute("DROP DATABASE empty_one")
