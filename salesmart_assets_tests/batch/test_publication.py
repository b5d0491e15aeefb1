"""What stands in the database: brought right by one command, whatever happened to it, and never a mixture of two batches."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from salesmart_assets import contracts
from salesmart_assets.batch import publication
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.publication import restore
from salesmart_assets.batch.reconcile import database_equals_lake
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS
from salesmart_assets.errors import Permanent, UsageError
from salesmart_assets.publish.database import open_database
from salesmart_assets.publish.read import read_table
from salesmart_assets_tests.batches import HEADER, Batches, load, load_pending

NAMES = (*DIMENSIONS, *MARTS, "publication")
CUSTOMERS = "customer_id,first_name,last_name,address,pincode,phone_number,customer_joining_date"
PRODUCTS = "product_id,name,category,price,cost,stock_on_hand,expiry_date"


def land(batches: Batches, platform: Platform, day: str, *lines: str) -> None:
    batches.land(platform, "\n".join([HEADER, *lines]) + "\n", "sales", day, f"{uuid.uuid4().hex}.csv")


def content(engine: sa.Engine) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables of the marts, as the database has them."""
    metadata = sa.MetaData()
    metadata.reflect(engine, only=NAMES)
    with engine.connect() as connection:
        rows = {table.name: connection.execute(sa.select(table).order_by(*table.primary_key)).all() for table in metadata.sorted_tables}
    return {name: [dict(row._mapping) for row in found] for name, found in rows.items()}


def restored(engine: sa.Engine, backup: dict[str, list[dict[str, Any]]]) -> None:
    """Put rows back as they were."""
    metadata = sa.MetaData()
    metadata.reflect(engine, only=list(backup))
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(sa.delete(table))
            if backup[table.name]:
                connection.execute(sa.insert(table), backup[table.name])


def execute(*statements: str) -> Callable[[sa.Engine], None]:
    def damage(engine: sa.Engine) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    return damage


DAMAGES: dict[str, Callable[[sa.Engine], None]] = {
    "a row is deleted": execute("DELETE FROM sales_team_mart WHERE sales_person_id = 2"),
    "a value is changed": execute("UPDATE customer_mart SET address = 'elsewhere' WHERE customer_id = 1"),
    "an amount is changed": execute("UPDATE sales_team_mart SET incentive = 1000000 WHERE sales_person_id = 1"),
    "a member is changed": execute("UPDATE dim_customer SET last_name = 'Fix', is_current = 0"),
    "a month is made up": execute(
        "INSERT INTO manager_mart (sales_month, manager_id, direct_sales, team_sales, number_of_sales, team_size) "
        "VALUES ('1999-01-01', 1, 1, 1, 1, 1)"
    ),
    "a table is emptied": execute("DELETE FROM customer_mart"),
    "a table is dropped": execute("DROP TABLE customer_mart"),
    "a dimension is dropped": execute("DROP TABLE dim_customer"),
    "the record is dropped": execute("DROP TABLE publication"),
    "the record and a row are gone": execute("DROP TABLE publication", "DELETE FROM customer_mart WHERE customer_id = 2"),
    "all is gone": execute(*(f"DROP TABLE {name}" for name in NAMES)),
}


def test_a_database_is_brought_right_by_one_command(tmp_path: Path, database_url: str) -> None:
    """New, restored from an old backup, or changed by hand: `publish` makes the database what the lake has, row for row."""
    batches = Batches(tmp_path / "home", {"database_url": database_url})
    with batches.platform() as platform:
        land(batches, platform, "2026-08-01", "1,121,bread,2026-07-31,1,2.50,2,5.00", "2,121,oil,2026-08-01,2,10.00,1,10.00")
        load_pending(platform)
        old = content(platform.marts)
        land(batches, platform, "2026-08-02", "1,121,bread,2026-08-02,1,2.50,4,10.00", "9,122,oil,2026-09-01,7,10.00,1,10.00")
        batches.land(platform, f"{CUSTOMERS}\n1,Cleo,Fox,Road 7,10001,555,2020-01-01\n", "customers", "2026-08-02", "c.csv")
        load_pending(platform)
        engine = open_database(database_url)
        wanted = content(engine)
        record = wanted.pop("publication")
    damages = {**DAMAGES, "an old backup is restored": lambda engine: restored(engine, old)}
    for name, damage in damages.items():
        damage(engine)
        with batches.platform() as platform:
            assert restore(platform, name).differed or name == "the record is dropped", name
            stands = content(engine)
            on_record = [row for row in stands.pop("publication") if row["row_count"]]
            assert stands == wanted, name
            assert [(row["mart"], row["slice"]) for row in on_record] == [(row["mart"], row["slice"]) for row in record if row["row_count"]]
    with batches.platform() as platform:
        assert restore(platform, "again").differed == []
        assert database_equals_lake(platform).passed
        assert load_pending(platform) == []
        assert {row["changed_rows"] for row in content(engine)["publication"]} == {0}, "nothing is published twice"
    engine.dispose()


def test_a_lake_that_is_behind_publishes_nothing(tmp_path: Path) -> None:
    """A lake that is new, replaced or set back writes nothing over what a later one published; the error says what to do."""
    database_url = f"sqlite:///{tmp_path / 'marts.db'}"
    batches = Batches(tmp_path / "home", {"database_url": database_url})
    with batches.platform() as platform:
        for number in range(3):
            land(batches, platform, "2026-08-01", f"{number},121,bread,2026-08-01,1,2.50,2,5.00")
            load_pending(platform)
        shown = content(platform.marts)
    other = Batches(tmp_path / "other" / "home", {"database_url": database_url})
    other.home.mkdir(parents=True)
    with other.platform() as platform:
        with pytest.raises(UsageError, match="has no marts yet, so nothing was published"):
            restore(platform, "run")
        land(other, platform, "2026-08-01", "1,121,bread,2026-08-01,1,2.50,2,5.00")
        for attempt in (lambda: restore(platform, "run"), lambda: load_pending(platform)):
            load(platform, date(2026, 8, 1), until="manager_mart")
            with pytest.raises(Permanent, match=r"this lake is only at version \d+ .* Nothing was published over it. Publish this lake to"):
                attempt()
        assert content(platform.marts) == shown


def test_a_month_between_two_batches_is_not_shown(tmp_path: Path) -> None:
    """A month that another batch has made in one mart, and not yet in the next, is left to that batch: readers see no mixture."""
    batches = Batches(tmp_path / "home")
    first, second = date(2026, 8, 1), date(2026, 8, 2)

    def shown(platform: Platform) -> dict[str, Any]:
        totals = {}
        for mart in ("customer_mart", "sales_team_mart"):
            rows = read_table(platform.marts, platform.tables[mart]).to_pylist()
            totals[mart] = {str(m): sum(r["total_sales"] for r in rows if r["sales_month"] == m) for m in {r["sales_month"] for r in rows}}
        assert totals["customer_mart"] == totals["sales_team_mart"]
        return {month: str(total) for month, total in totals["customer_mart"].items()}

    with batches.platform() as platform:
        land(batches, platform, "2026-08-01", "1,121,bread,2026-07-31,1,2.50,2,5.00", "1,121,bread,2026-08-01,1,2.50,2,5.00")
        load_pending(platform)
        before = {"2026-07-01": "5.00", "2026-08-01": "5.00"}
        assert shown(platform) == before
        land(batches, platform, "2026-08-01", "3,121,bread,2026-07-31,1,2.50,2,5.00")
        land(batches, platform, "2026-08-02", "2,121,bread,2026-08-02,1,2.50,2,5.00")
        load(platform, first, until="manager_mart")
        for until in ("fact_sales", "daily_seller_sales", "daily_customer_sales", "customer_mart", "sales_team_mart"):
            load(platform, second, until=until)
            platform.ledger.touch({"publication": {"customer_mart/2026-08-01"}}, first)
            report = publication.publish(platform, publication.Run(first, until))
            waits = until != "fact_sales"
            assert bool(report.facts["slices_left_to_another_batch"]) == waits, until
            assert shown(platform)["2026-08-01"] == before["2026-08-01"], until
            assert shown(platform)["2026-07-01"] == "10.00"
            assert database_equals_lake(platform).passed
            assert restore(platform, "run").unsettled == (["2026-08-01"] if waits else [])
        load(platform, second)
        assert shown(platform) == {"2026-07-01": "10.00", "2026-08-01": "10.00"}
        assert not platform.ledger.pending("publication")


def own_contract(batches: Batches, line: str, instead_of: str = "") -> None:
    """A contract of the user's for products: the packaged one with a line more, or another one in its place."""
    folder = batches.home.parent / "contracts"
    folder.mkdir(exist_ok=True)
    packaged = (Path(contracts.__file__).parent / "products.yaml").read_text("utf-8")
    kept = [text for text in packaged.splitlines() if not instead_of or not text.strip().startswith(instead_of)]
    (folder / "products.yaml").write_text("\n".join([*kept, f"  {line}", ""]), "utf-8")
    batches.overrides["contracts"] = folder


def test_a_column_that_a_contract_gains_appears(tmp_path: Path, database_url: str) -> None:
    """A column that a user adds to a contract appears in the database without a person, and nothing that stands there is lost."""
    batches = Batches(tmp_path / "home", {"database_url": database_url})
    with batches.platform() as platform:
        batches.land(platform, f"{PRODUCTS}\n1,bread,food,2.50,1.00,7,2030-01-01\n", "products", "2026-08-01", "a.csv")
        load_pending(platform)
        before = content(platform.marts)["dim_product"]
    own_contract(batches, 'shelf_life: {type: "decimal(5,1)", description: "Days on the shelf."}')
    with batches.platform() as platform:
        batches.land(platform, f"{PRODUCTS},shelf_life\n2,oil,food,9.00,4.00,0,2030-01-01,90.5\n", "products", "2026-08-02", "b.csv")
        load_pending(platform)
        shown = {row["product_id"]: row for row in content(platform.marts)["dim_product"]}
        assert [{**row, "shelf_life": None} for row in before] == [shown[1]]
        assert (shown[2]["name"], shown[2]["shelf_life"]) == ("oil", Decimal("90.5"))


def test_a_contract_that_narrows_a_column_stops(tmp_path: Path, database_url: str) -> None:
    """A type that could not hold what stands stops the run before anything is written, in the lake or the database, and says what to do."""
    batches = Batches(tmp_path / "home", {"database_url": database_url})
    with batches.platform() as platform:
        batches.land(platform, f"{PRODUCTS}\n1,bread,food,2.50,1.00,7,2030-01-01\n", "products", "2026-08-01", "a.csv")
        load_pending(platform)
        before = content(platform.marts)
    narrower = 'price: {type: "decimal(10,2)", required: true, min: 0, type_2: true, description: "List price."}'
    own_contract(batches, narrower, instead_of="price:")
    with batches.platform() as platform, pytest.raises(Permanent, match=r"stg_products\.price is .*\(18,2\).* in the lake, but"):
        load(platform, date(2026, 8, 2))
    batches.overrides["lake"] = str(tmp_path / "new lake")
    with batches.platform() as platform:
        with pytest.raises(Permanent, match=r"dim_product\.price is DECIMAL\(18, 2\) in the database and .* values could be lost. Set the"):
            platform.publisher.ensure_schema()
        assert content(platform.marts) == before
