"""Every transformation gives what a plain, slow reading of the rules gives, for histories of any kind in any order of arrival."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from salesmart_assets.settings import CouponPolicy, IncentivePolicy
from salesmart_assets.transforms.changes import dates_touched, members_changed
from salesmart_assets.transforms.dimensions import build_dimension, extend_dimension
from salesmart_assets.transforms.fact import duplicates_by_file, fact_sales
from salesmart_assets.transforms.management import management_bridge
from salesmart_assets.transforms.marts import customer_mart, manager_mart, sales_team_mart
from salesmart_assets.transforms.rollups import daily_customer_sales, daily_seller_sales
from salesmart_assets.transforms.session import Engine, frame_of

from . import reference
from .histories import days, history, sales
from .staged import CONTRACTS, DIMENSION_SOURCES, TABLES, Row, arrow, in_order

ENGINE = settings.get_profile("engine")
FEW = settings(ENGINE, max_examples=12)
SOURCE_OF = DIMENSION_SOURCES.items()


def examples(engine: Engine, number: int) -> settings:
    """So many examples; fewer in a JVM, where each takes seconds. What differs between engines is tried on more rows elsewhere."""
    return settings(ENGINE, max_examples=number if engine.kind == "sail" else max(number // 6, 2))


def frame(session: SparkSession, rows: list[Row], table: str) -> DataFrame:
    return frame_of(session, arrow(rows, TABLES[table]))


def same(found: DataFrame | pa.Table, expected: list[Row], table: str) -> None:
    """The same rows, with the types that the table declares."""
    result = found if isinstance(found, pa.Table) else found.toArrow()
    assert [(f.name, f.type) for f in result.schema] == [(f.name, f.type) for f in TABLES[table].arrow]
    assert in_order(result.to_pylist()) == in_order(arrow(expected, TABLES[table]).to_pylist())


def dimension_rows(name: str, rows: list[Row]) -> list[Row]:
    return reference.dimension(rows, TABLES[name], CONTRACTS[DIMENSION_SOURCES[name]])


@pytest.mark.parametrize(("name", "source"), SOURCE_OF)
@pytest.mark.parametrize("scd", [1, 2])
def test_versions_follow_the_days_not_the_arrival(engine: Engine, name: str, source: str, scd: int) -> None:
    """A dimension has, on every day, what was last said for that day, whatever the order of arrival."""
    contract = CONTRACTS[source].model_copy(update={"scd": scd})

    @examples(engine, 12)
    @given(history(source))
    def holds(rows: list[Row]) -> None:
        found = build_dimension(frame(engine.session(), rows, f"stg_{source}"), TABLES[name], contract)
        same(found, reference.dimension(rows, TABLES[name], contract), name)

    holds()


@pytest.mark.parametrize("scd", [1, 2])
def test_an_absence_from_a_whole_snapshot_is_a_deletion(engine: Engine, scd: int) -> None:
    """Who is absent from a snapshot of which nothing was rejected is deleted until the next delivery."""
    contract = CONTRACTS["products"].model_copy(update={"delivery": "snapshot", "scd": scd})

    @examples(engine, 40)
    @given(history("products"), st.lists(days(16), unique=True))
    def holds(rows: list[Row], complete: list[date]) -> None:
        found = build_dimension(frame(engine.session(), rows, "stg_products"), TABLES["dim_product"], contract, complete)
        same(found, reference.dimension(rows, TABLES["dim_product"], contract, complete), "dim_product")

    holds()


@pytest.mark.parametrize("delivery", ["changes", "snapshot"])
@pytest.mark.parametrize("scd", [1, 2])
def test_later_deliveries_extend_a_dimension_without_its_history(engine: Engine, scd: int, delivery: str) -> None:
    """Deliveries that come in order give, from the versions so far, what all deliveries give from the beginning."""
    contract = CONTRACTS["products"].model_copy(update={"delivery": delivery, "scd": scd})
    table = TABLES["dim_product"]

    @examples(engine, 40)
    @given(history("products", 14), st.lists(days(16), unique=True), days())
    def holds(rows: list[Row], complete: list[date], cut: date) -> None:
        spans = [sorted((row["batch_date"], row["effective_date"] or row["batch_date"])) for row in rows]
        earlier = [row for row, (_, last) in zip(rows, spans, strict=True) if last <= cut]
        later = [row for row, (first, _) in zip(rows, spans, strict=True) if first > cut]
        versions = reference.dimension(earlier, table, contract, [day for day in complete if day <= cut])
        known, delivered = frame(engine.session(), versions, "dim_product"), frame(engine.session(), later, "stg_products")
        found = extend_dimension(known, delivered, table, contract, [day for day in complete if day > cut])
        same(found, reference.dimension([*earlier, *later], table, contract, complete), "dim_product")

    holds()


def test_fact_keeps_every_sold_line_once(engine: Engine) -> None:
    """Each sold line is in the fact once, with the versions that were true on its day; unknown members have the key -1."""

    @examples(engine, 20)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        sold = data.draw(sales())
        dims = {name: dimension_rows(name, data.draw(history(source))) for name, source in SOURCE_OF}
        for product in dims["dim_product"]:
            product["is_deleted"] = product["valid_to"] is None and product["previous_price"] is not None and data.draw(st.booleans())
        frames = [frame(engine.session(), dims[name], name) for name in ("dim_customer", "dim_store", "dim_product", "dim_sales_person")]
        staged = frame(engine.session(), sold, "stg_sales")
        expected, lost = reference.fact(sold, dims, TABLES["fact_sales"], CONTRACTS["sales"])
        same(fact_sales(staged, *frames, TABLES["fact_sales"], CONTRACTS["sales"]), expected, "fact_sales")
        counted = duplicates_by_file(staged, CONTRACTS["sales"]).toArrow().to_pylist()
        assert {(row["file_id"], row["sales_date"]): row["duplicates"] for row in counted} == lost

    holds()


@settings(ENGINE)
@given(sold=sales())
def test_rollups_add_up_the_day(sail: SparkSession, sold: list[Row]) -> None:
    """A daily rollup is the sum of the day's lines, and a receipt counts once however many lines it has."""
    fact = frame(sail, sold, "stg_sales")
    same(daily_seller_sales(fact, TABLES["daily_seller_sales"]), reference.daily_seller(sold), "daily_seller_sales")
    same(daily_customer_sales(fact, TABLES["daily_customer_sales"]), reference.daily_customer(sold), "daily_customer_sales")


POLICIES = st.lists(
    st.builds(
        IncentivePolicy,
        from_month=st.sampled_from([date(1970, 1, 1), date(2026, 1, 1), date(2026, 2, 1)]),
        rate=st.sampled_from([Decimal("0.01"), Decimal("0.05"), Decimal("0.0333"), Decimal("0.12345678"), Decimal(1)]),
        top=st.integers(1, 3),
        ties=st.sampled_from(["all", "split", "none"]),
    ),
    max_size=3,
    unique_by=lambda p: p.from_month,
)
TODAY = days(30)


@settings(ENGINE, max_examples=40)
@given(sold=sales(min_size=4), team=history("sales_team", 6), policies=POLICIES, today=TODAY)
def test_the_top_sellers_earn_what_the_months_policy_says(
    sail: SparkSession, sold: list[Row], team: list[Row], policies: list[IncentivePolicy], today: date
) -> None:
    """Ranks, ties and incentives follow the policy of the month; names and managers are as of its last day."""
    sellers = dimension_rows("dim_sales_person", team)
    daily = frame(sail, reference.daily_seller(sold), "daily_seller_sales")
    found = sales_team_mart(daily, frame(sail, sellers, "dim_sales_person"), TABLES["sales_team_mart"], policies, today)
    same(found, reference.sales_team(sold, sellers, policies, today), "sales_team_mart")


COUPONS = st.lists(
    st.builds(
        CouponPolicy,
        from_month=st.sampled_from([date(1970, 1, 1), date(2026, 2, 1)]),
        loyal_percent=st.integers(0, 100),
        regular_percent=st.integers(0, 100),
        valid_days=st.integers(1, 90),
    ),
    max_size=2,
    unique_by=lambda p: p.from_month,
)


@settings(ENGINE)
@given(
    sold=sales(),
    members=history("customers", 6),
    policies=COUPONS,
    secret=st.binary(min_size=1, max_size=100),
    today=TODAY,
    months=st.sets(st.sampled_from([date(2026, 1, 1), date(2026, 2, 1)])),
)
def test_customers_mart_shows_how_a_month_compares(
    sail: SparkSession, sold: list[Row], members: list[Row], policies: list[CouponPolicy], secret: bytes, today: date, months: set[date]
) -> None:
    """A customer's month, its change on the month before, segment and coupon are those of the rules; the code is Python's HMAC."""
    dim = dimension_rows("dim_customer", members)
    daily = frame(sail, reference.daily_customer(sold), "daily_customer_sales")
    found = customer_mart(daily, frame(sail, dim, "dim_customer"), TABLES["customer_mart"], policies, secret, today, sorted(months))
    same(found, reference.customers(sold, dim, policies, secret, today, sorted(months)), "customer_mart")


@settings(ENGINE)
@given(sold=sales(), team=history("sales_team"), today=TODAY)
def test_a_managers_team_is_everybody_below_on_the_day_of_sale(sail: SparkSession, sold: list[Row], team: list[Row], today: date) -> None:
    """Sales are rolled up the tree as it stood on the day, at any depth; circles and missing managers cost nobody else anything."""
    sellers = dimension_rows("dim_sales_person", team)
    tree = management_bridge(arrow(sellers, TABLES["dim_sales_person"]), [row["sales_date"] for row in sold])
    daily = frame(sail, reference.daily_seller(sold), "daily_seller_sales")
    found = manager_mart(daily, frame_of(sail, tree.bridge), frame(sail, sellers, "dim_sales_person"), TABLES["manager_mart"], today)
    same(found, reference.managers(sold, sellers, today), "manager_mart")


@pytest.mark.parametrize(("name", "source"), SOURCE_OF)
@settings(FEW, max_examples=20)
@given(data=st.data())
def test_dates_touched_are_exactly_those_whose_rows_change(sail: SparkSession, name: str, source: str, data: st.DataObject) -> None:
    """After a delivery to a dimension, the dates to recompute are those of which a fact row differs, no more and no fewer."""
    sold = data.draw(sales())
    rows = data.draw(history(source))
    kept = data.draw(st.integers(0, len(rows)))
    old, new = dimension_rows(name, rows[:kept]), dimension_rows(name, rows)
    if name == "dim_product":
        for version in (*old, *new):
            version["is_deleted"] = version["previous_price"] is not None and data.draw(st.booleans())
    others: dict[str, Any] = {other: [] for other in DIMENSION_SOURCES}
    before = [_seen(row, name) for row in reference.fact(sold, {**others, name: old}, TABLES["fact_sales"], CONTRACTS["sales"])[0]]
    after = [_seen(row, name) for row in reference.fact(sold, {**others, name: new}, TABLES["fact_sales"], CONTRACTS["sales"])[0]]
    expected = {row[0] for row in (Counter(after) - Counter(before)) + (Counter(before) - Counter(after))}
    unique = reference.fact(sold, others, TABLES["fact_sales"], CONTRACTS["sales"])[0]
    nothing_yet = not old and data.draw(st.booleans())
    old_frame = None if nothing_yet else frame(sail, old, name)
    found = dates_touched(old_frame, frame(sail, new, name), frame(sail, unique, "fact_sales"), name)
    assert Counter(found.toArrow().column("sales_date").to_pylist()) == Counter(expected)


def _seen(row: Row, dimension: str) -> tuple[Any, ...]:
    """What a fact row shows of a dimension, with its day and identity."""
    key = f"{dimension.removeprefix('dim_')}_key"
    return row["sales_date"], row["source_row"], row[key], row["list_price"], row["list_cost"]


@settings(FEW)
@given(rows=history("sales_team"), kept=st.integers(0, 10))
def test_members_changed_are_those_shown_otherwise(sail: SparkSession, rows: list[Row], kept: int) -> None:
    """A member is changed if on some day any of its attributes is another than before."""
    old, new = dimension_rows("dim_sales_person", rows[:kept]), dimension_rows("dim_sales_person", rows)
    changed: set[int] = set()
    for member in {row["sales_person_id"] for row in new}:
        for day in (date(2026, 1, 20) + timedelta(n) for n in range(30)):
            if _shown(reference.as_of(old, "sales_person_id", member, day)) != _shown(reference.as_of(new, "sales_person_id", member, day)):
                changed.add(member)
    name = "dim_sales_person"
    found = members_changed(frame(sail, old, name), frame(sail, new, name), "sales_person_id").toArrow().column(0).to_pylist()
    assert Counter(found) == Counter(changed)


def _shown(version: Row | None) -> Row | None:
    hidden = {"sales_person_key", "valid_from", "valid_to", "is_current"}
    return None if version is None else {name: value for name, value in version.items() if name not in hidden}
