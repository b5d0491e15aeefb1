"""The marts by hand, on every engine: who earns what under which policy, and how a customer's month compares."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from decimal import Decimal
from typing import Any, Literal, cast

from salesmart_assets.settings import CouponPolicy, IncentivePolicy
from salesmart_assets.transforms.marts import customer_mart, sales_team_mart
from salesmart_assets.transforms.session import Engine, frame_of
from salesmart_assets_tests.page_tables import table_of

from .staged import TABLES, Row, arrow

TODAY = date(2030, 1, 1)
TIES = {121: ("300.00", "250.50", "250.50", "250.50", "0.00"), 122: ("100.25", "100.25")}
"""What the sellers of two stores sold, as docs/marts.md has it."""


def team(engine: Engine, daily: list[Row], policies: list[IncentivePolicy], sellers: list[Row] | None = None) -> list[dict[str, Any]]:
    frames = [
        frame_of(engine.session(), arrow(rows, TABLES[name]))
        for name, rows in (("daily_seller_sales", daily), ("dim_sales_person", sellers or []))
    ]
    found = sales_team_mart(*frames, TABLES["sales_team_mart"], policies, TODAY).toArrow().to_pylist()
    return sorted(found, key=lambda row: (row["sales_month"], row["store_id"], row["sales_person_id"]))


def sold(day: date, store: int, seller: int, total: str) -> Row:
    return {
        "sales_date": day,
        "store_id": store,
        "sales_person_id": seller,
        "total_sales": Decimal(total),
        "number_of_sales": 1,
        "units": 1,
    }


def test_each_month_has_its_own_policy(engine: Engine) -> None:
    """The table of docs/marts.md says what sellers earn who tie; each of its policies holds from its month on."""
    table = table_of("marts.md", "incentives")
    months = [date(2026, number, 1) for number in range(1, len(table) + 1)]
    policies = [
        IncentivePolicy(from_month=month, top=int(top), ties=cast("Literal['all', 'split', 'none']", ties))
        for month, (top, ties, *_) in zip(months, table, strict=True)
    ]
    day = [
        sold(month.replace(day=14), store, number, total)
        for month in months
        for store, totals in TIES.items()
        for number, total in enumerate(totals, 1)
    ]
    # The order in which policies are listed does not matter.
    found = team(engine, day, list(reversed(policies)))
    assert [row["rank_in_store"] for row in found] == [1, 2, 2, 2, 5, 1, 1] * len(months)
    earned = {month: [str(row["incentive"]) for row in found if row["sales_month"] == month] for month in months}
    for month, (top, ties, first, three, last, twice) in zip(months, table, strict=True):
        assert earned[month] == [first, three, three, three, last, twice, twice], f"top {top}, ties {ties}"


def test_who_earns_nothing(engine: Engine) -> None:
    """Nobody earns before the first policy, or for a total of nothing or less, also not the best; it says 0.00, and never NULL."""
    july = [sold(date(2026, 7, 3), 121, 1, "500.00")]
    august = [
        sold(date(2026, 8, 3), store, seller, total) for store, seller, total in ((121, 1, "0.00"), (121, 2, "0.00"), (122, 3, "-5.00"))
    ]
    for ties in ("all", "split", "none"):
        policy = IncentivePolicy(from_month=date(2026, 8, 1), top=3, ties=cast("Literal['all', 'split', 'none']", ties))
        found = team(engine, july + august, [policy])
        assert [str(row["incentive"]) for row in found] == ["0.00"] * 4
        assert [row["rank_in_store"] for row in found] == [1, 1, 1, 1]
    assert [str(row["incentive"]) for row in team(engine, july, [])] == ["0.00"]


def test_unknown_sellers_rank_and_earn(engine: Engine) -> None:
    """A seller whom no dimension knows ranks and earns under the number of the sales; the names are NULL."""
    rows = [sold(date(2026, 7, 3), 121, 1, "10.00"), sold(date(2026, 7, 4), 121, 99, "20.00"), sold(date(2026, 7, 5), 121, 99, "0.50")]
    known: Row = {
        **dict.fromkeys(TABLES["dim_sales_person"].names),
        "sales_person_id": 1,
        "first_name": "Ann",
        "last_name": "Hill",
        "manager_id": 98,
        "valid_from": date(2026, 1, 1),
        "is_current": True,
        "is_deleted": False,
    }
    ann, unknown = team(engine, rows, [IncentivePolicy()], [known])
    assert (ann["full_name"], ann["manager_id"], ann["manager_name"]) == ("Ann Hill", 98, None)
    assert (ann["rank_in_store"], str(ann["incentive"])) == (2, "0.00")
    assert (unknown["full_name"], unknown["manager_id"], unknown["manager_name"]) == (None, None, None)
    assert (unknown["rank_in_store"], str(unknown["total_sales"]), unknown["number_of_sales"]) == (1, "20.50", 2)
    assert str(unknown["incentive"]) == "0.21"


def bought(day: date, customer: int, total: str, orders: int = 1) -> Row:
    return {"sales_date": day, "customer_id": customer, "total_sales": Decimal(total), "orders": orders}


def test_how_a_customer_shops(engine: Engine) -> None:
    """Segments are those of docs/marts.md, averages are rounded half up, and the coupon is that of the segment and the month's policy."""
    june, july = date(2026, 6, 1), date(2026, 7, 1)
    four = [bought(july.replace(day=day), 1, "10.00", 2) for day in (1, 8, 15, 31)]
    rows = [
        *(bought(june.replace(day=30), customer, "50.05") for customer in (1, 2)),
        *four,
        *(bought(row["sales_date"], 3, "0.05") for row in four),
        *(bought(july.replace(day=5), customer, "0.05", 2) for customer in (2, 4)),
        bought(date(2026, 5, 5), 4, "80.00"),
    ]
    policies = [CouponPolicy(), CouponPolicy(from_month=july, loyal_percent=12, regular_percent=8, occasional_percent=0, valid_days=45)]
    session, secret = engine.session(), b"a secret of a shop"
    frames = [
        frame_of(session, arrow(found, TABLES[name])) for name, found in (("daily_customer_sales", rows), ("dim_customer", list[Row]()))
    ]
    mart = customer_mart(*frames, TABLES["customer_mart"], policies, secret, TODAY, [june, july]).toArrow().to_pylist()
    found = {(row["sales_month"], row["customer_id"]): row for row in mart}
    shown = {
        key: (row["segment"], row["coupon_percent"], row["active_days"], str(row["average_basket"]), row["change_on_month_before"])
        for key, row in found.items()
    }
    assert shown == {
        (june, 1): ("occasional", 5, 1, "50.05", None),
        (june, 2): ("occasional", 5, 1, "50.05", None),
        (july, 1): ("loyal", 12, 4, "5.00", Decimal("-10.05")),
        (july, 2): ("regular", 8, 1, "0.03", Decimal("-50.00")),
        (july, 3): ("regular", 8, 4, "0.05", None),
        (july, 4): ("occasional", 0, 1, "0.03", None),
    }
    assert {segment: discount for segment, *_, discount in table_of("marts.md", "segments")} == {
        segment: f"{getattr(CouponPolicy(), f'{segment}_percent')} %" for segment in ("loyal", "regular", "occasional")
    }
    first = found[july, 1]
    assert (first["first_purchase"], first["last_purchase"], first["orders"]) == (july, date(2026, 7, 31), 8)
    assert (found[june, 1]["coupon_expiry"], first["coupon_expiry"]) == (date(2026, 7, 30), date(2026, 9, 14))
    assert first["coupon_code"] == f"SM-{hmac.new(secret, b'2026-07|1', hashlib.sha256).hexdigest()[:20].upper()}"
    assert len({row["coupon_code"] for row in mart}) == len(mart)
    assert {row["full_name"] for row in mart} == {None}
