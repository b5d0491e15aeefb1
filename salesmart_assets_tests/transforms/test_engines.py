"""Sail and Apache Spark give equal tables: each transformation gets the same input on both, and its Arrow tables are compared."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from salesmart_assets.settings import CouponPolicy, IncentivePolicy
from salesmart_assets.transforms.changes import dates_touched, members_changed
from salesmart_assets.transforms.dimensions import build_dimension
from salesmart_assets.transforms.fact import duplicates_by_file, fact_sales
from salesmart_assets.transforms.management import management_bridge
from salesmart_assets.transforms.marts import customer_mart, manager_mart, sales_team_mart
from salesmart_assets.transforms.rollups import daily_customer_sales, daily_seller_sales
from salesmart_assets.transforms.session import Engine, frame_of

from . import reference
from .staged import CONTRACTS, DIMENSION_SOURCES, TABLES, Row, arrow, in_order, staged_rows

TODAY = date(2026, 2, 20)
FIRST = date(2026, 1, 1)
SECRET = b"a secret of a shop"
INCENTIVES = [
    IncentivePolicy(rate=Decimal("0.0333"), top=2, ties="split"),
    IncentivePolicy(from_month=date(2026, 2, 1), rate=Decimal("0.015"), top=3, ties="none"),
]
COUPONS = [CouponPolicy(), CouponPolicy(from_month=date(2026, 2, 1), loyal_percent=15, valid_days=45)]
MONTHS = [date(2026, 1, 1), date(2026, 2, 1)]

Frames = Callable[[str], DataFrame]


def _histories(chance: random.Random) -> dict[str, list[Row]]:
    """Staged rows of all sources: changes, corrections for the past, announcements, ties, twice delivered and unknown ones."""

    def day(span: int = 50) -> date:
        return FIRST + timedelta(chance.randrange(span))

    def delivered(rows: list[Row]) -> list[Row]:
        return [
            {**row, "batch_date": day(), "effective_date": chance.choice([None, None, day()]), "file_id": 1 + n % 3}
            for n, row in enumerate(rows)
        ]

    cents = [Decimal(n) / 100 for n in (0, 5, 50, 105, 333, 1999, 123456789)]
    sales = []
    for _ in range(400):
        price, quantity = chance.choice(cents), chance.randint(1, 9)
        batch = chance.randint(1, 3)
        sales.append(
            {
                "customer_id": chance.randint(1, 14),
                "store_id": chance.randint(1, 4),
                "product_name": chance.choice(["soap", "tea", "thé", "salt"]),
                "product_id": chance.choice([None, None, *range(1, 8)]),
                "sales_date": day(),
                "sales_person_id": chance.randint(1, 11),
                "price": price,
                "quantity": quantity,
                "total_cost": price * quantity,
                "transaction_id": chance.choice([None, "a", "b"]),
                "line_number": chance.choice([None, 1, 2]),
                "payment_mode": chance.choice([None, "cash"]),
                "file_id": batch,
                "source_file": f"s3://shop/landing/sales/{batch}.csv",
                "batch_date": FIRST + timedelta(batch),
            }
        )
    return {
        "sales": sales,
        "customers": delivered(
            [
                {"customer_id": chance.randint(1, 12), "last_name": chance.choice(["Lee", "Łuk"]), "address": chance.choice([None, "x"])}
                for _ in range(40)
            ]
        ),
        "stores": delivered([{"store_id": chance.randint(1, 3), "address": chance.choice([None, "x", "y"])} for _ in range(8)]),
        "products": delivered(
            [
                {
                    "product_id": chance.randint(1, 6),
                    "name": chance.choice(["soap", "tea", "thé"]),
                    "price": chance.choice(cents),
                    "cost": chance.choice([None, *cents]),
                    "stock_on_hand": chance.choice([None, 3]),
                    "expiry_date": chance.choice([None, FIRST]),
                }
                for _ in range(40)
            ]
        ),
        "sales_team": delivered(
            [
                {
                    "sales_person_id": member,
                    "manager_id": chance.choice([None, *range(1, member)]),
                    "last_name": chance.choice(["Poe", "Ñu"]),
                    "is_manager": chance.choice([True, False]),
                    "joining_date": chance.choice([None, FIRST]),
                }
                for member in (chance.randint(1, 10) for _ in range(40))
            ]
        ),
    }


def _inputs() -> dict[str, pa.Table]:
    """The input of every transformation, worked out without any engine."""
    rows = {source: staged_rows(source, found) for source, found in _histories(random.Random(7)).items()}
    dims = {name: reference.dimension(rows[source], TABLES[name], CONTRACTS[source]) for name, source in DIMENSION_SOURCES.items()}
    fact, _ = reference.fact(rows["sales"], dims, TABLES["fact_sales"], CONTRACTS["sales"])
    earlier = [row for row in rows["products"] if row["batch_date"] < FIRST + timedelta(25)]
    tables = {f"stg_{source}": arrow(found, TABLES[f"stg_{source}"]) for source, found in rows.items()}
    tables |= {name: arrow(found, TABLES[name]) for name, found in dims.items()}
    tables["old_product"] = arrow(reference.dimension(earlier, TABLES["dim_product"], CONTRACTS["products"]), TABLES["dim_product"])
    tables["fact_sales"] = arrow(fact, TABLES["fact_sales"])
    tables["daily_seller_sales"] = arrow(reference.daily_seller(fact), TABLES["daily_seller_sales"])
    tables["daily_customer_sales"] = arrow(reference.daily_customer(fact), TABLES["daily_customer_sales"])
    tables["bridge"] = management_bridge(tables["dim_sales_person"], sorted({row["sales_date"] for row in fact})).bridge
    return tables


INPUTS = _inputs()
_SNAPSHOT = CONTRACTS["products"].model_copy(update={"delivery": "snapshot"})
_COMPLETE = [FIRST + timedelta(n) for n in range(0, 60, 3)]

TRANSFORMATIONS: Mapping[str, Callable[[Frames], DataFrame]] = {
    **{
        name: lambda get, name=name, source=source: build_dimension(get(f"stg_{source}"), TABLES[name], CONTRACTS[source])  # type: ignore[misc]
        for name, source in DIMENSION_SOURCES.items()
    },
    "snapshot": lambda get: build_dimension(get("stg_products"), TABLES["dim_product"], _SNAPSHOT, _COMPLETE),
    "fact_sales": lambda get: fact_sales(
        get("stg_sales"),
        get("dim_customer"),
        get("dim_store"),
        get("dim_product"),
        get("dim_sales_person"),
        TABLES["fact_sales"],
        CONTRACTS["sales"],
    ),
    "duplicates": lambda get: duplicates_by_file(get("stg_sales"), CONTRACTS["sales"]),
    "daily_seller_sales": lambda get: daily_seller_sales(get("fact_sales"), TABLES["daily_seller_sales"]),
    "daily_customer_sales": lambda get: daily_customer_sales(get("fact_sales"), TABLES["daily_customer_sales"]),
    "sales_team_mart": lambda get: sales_team_mart(
        get("daily_seller_sales"), get("dim_sales_person"), TABLES["sales_team_mart"], INCENTIVES, TODAY
    ),
    "customer_mart": lambda get: customer_mart(
        get("daily_customer_sales"), get("dim_customer"), TABLES["customer_mart"], COUPONS, SECRET, TODAY, MONTHS
    ),
    "manager_mart": lambda get: manager_mart(
        get("daily_seller_sales"), get("bridge"), get("dim_sales_person"), TABLES["manager_mart"], TODAY
    ),
    "dates_touched": lambda get: dates_touched(get("old_product"), get("dim_product"), get("fact_sales"), "dim_product"),
    "seller_dates": lambda get: dates_touched(None, get("dim_sales_person"), get("fact_sales"), "dim_sales_person"),
    "members_changed": lambda get: members_changed(get("old_product"), get("dim_product"), "product_id"),
}


def _frames(session: SparkSession) -> Frames:
    return lambda name: frame_of(session, INPUTS[name])


@pytest.mark.xdist_group("jvm")
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_sail_and_apache_spark_give_equal_tables(sail_engine: Engine, spark_engine: Engine, name: str) -> None:
    """Every transformation gives the same columns, types and rows on Sail and on Apache Spark, hashes and decimals included."""
    transformation = TRANSFORMATIONS[name]
    on_sail = transformation(_frames(sail_engine.session())).toArrow()
    on_spark = transformation(_frames(spark_engine.session())).toArrow()
    assert on_sail.num_rows > 0
    assert [(f.name, f.type) for f in on_sail.schema] == [(f.name, f.type) for f in on_spark.schema]
    rows = in_order(on_sail.to_pylist())
    assert rows == in_order(on_spark.to_pylist())
    if name in INPUTS:
        assert rows == in_order(INPUTS[name].to_pylist())


def test_small_dimensions_are_broadcast(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """Stores, sellers and products are sent to where the sold lines are, which need not move for them: the engine's plan says so."""
    session = engine.session()
    automatic = "spark.sql.autoBroadcastJoinThreshold"
    on_spark = engine.kind != "sail"
    if on_spark:
        # Nothing is small by itself: what is broadcast is so because it was asked for.
        session.conf.set(automatic, "-1")
    try:
        TRANSFORMATIONS["fact_sales"](_frames(session)).explain()
    finally:
        if on_spark:
            session.conf.unset(automatic)
    joins = [line for line in capsys.readouterr().out.splitlines() if "Join" in line]
    if on_spark:
        sent = [line for line in joins if "BroadcastHashJoin" in line]
        assert all(any(name in line for line in sent) for name in ("store_id", "sales_person_id", "_sold_as"))
        assert not any("customer_id" in line for line in sent)
    else:
        assert joins
        assert all("mode=CollectLeft" in line for line in joins)


def test_the_coupon_secret_is_in_no_plan(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the secret nor the pads made of it are in the plan that an engine logs and shows."""
    TRANSFORMATIONS["customer_mart"](_frames(engine.session())).explain(extended=True)
    plan = capsys.readouterr().out.lower()
    assert "coupon_code" in plan
    for mask in (0, 0x36, 0x5C):
        pad = bytes(b ^ mask for b in SECRET)
        assert pad.decode("latin-1").lower() not in plan
        assert pad.hex() not in plan
        assert ", ".join(str(b) for b in pad) not in plan
