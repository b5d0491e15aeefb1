"""The marts through the program: months that look back, coupons that stay, and policies that hold from a month on."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from typing import Any

from salesmart_assets.batch.platform import Platform
from salesmart_assets.contracts.tables import MARTS
from salesmart_assets.publish.read import read_table
from salesmart_assets_tests.batches import HEADER, Batches, load, load_pending

JUNE, JULY = date(2026, 6, 1), date(2026, 7, 1)
SECRET = "a secret that nobody guesses"


def content(*lines: str) -> str:
    return "\n".join((HEADER, *lines)) + "\n"


def line(customer: int, seller: int, day: str, total: str) -> str:
    return f"{customer},121,tea,{day},{seller},{total},1,{total}"


def mart(platform: Platform, name: str) -> list[dict[str, Any]]:
    """A mart by month and member, the same in the lake and in the database."""
    table = platform.tables[name]
    rows, published = platform.lake.snapshot(name).read().to_pylist(), read_table(platform.marts, table).to_pylist()

    def key(row: dict[str, Any]) -> list[Any]:
        return [row[column] for column in table.key]

    assert sorted(rows, key=key) == sorted(published, key=key)
    return sorted(rows, key=key)


def compared(platform: Platform) -> dict[tuple[date, int], tuple[str, str | None, str]]:
    """What each customer spent in each month, the change on the month before, and the segment."""
    return {
        (row["sales_month"], row["customer_id"]): (
            str(row["total_sales"]),
            None if row["change_on_month_before"] is None else str(row["change_on_month_before"]),
            row["segment"],
        )
        for row in mart(platform, "customer_mart")
    }


def test_a_month_looks_back_on_what_became_of_the_one_before(batches: Batches, platform: Platform) -> None:
    """A change in one month restates the next one's change on the month before, also when the month before loses all its rows."""
    june = (line(1, 1, "2026-06-10", "100.00"), line(2, 1, "2026-06-11", "10.00"))
    batches.land(platform, content(*june), "sales", "2026-07-01", "june.csv")
    july = (line(1, 1, "2026-07-01", "40.00"), line(3, 2, "2026-07-01", "5.00"))
    batches.land(platform, content(*july), "sales", "2026-07-01", "july.csv")
    load_pending(platform)
    assert compared(platform) == {
        (JUNE, 1): ("100.00", None, "occasional"),
        (JUNE, 2): ("10.00", None, "occasional"),
        (JULY, 1): ("40.00", "-60.00", "regular"),
        (JULY, 3): ("5.00", None, "occasional"),
    }
    # The file of June comes again, corrected; then it is found to hold nothing at all.
    batches.land(platform, content(line(1, 1, "2026-06-30", "7.50"), line(3, 1, "2026-06-30", "5.00")), "sales", "2026-07-01", "june.csv")
    load_pending(platform)
    assert compared(platform) == {
        (JUNE, 1): ("7.50", None, "occasional"),
        (JUNE, 3): ("5.00", None, "occasional"),
        (JULY, 1): ("40.00", "32.50", "regular"),
        (JULY, 3): ("5.00", "0.00", "regular"),
    }
    batches.land(platform, content(), "sales", "2026-07-01", "june.csv")
    load_pending(platform)
    assert compared(platform) == {(JULY, 1): ("40.00", None, "occasional"), (JULY, 3): ("5.00", None, "occasional")}
    for name in MARTS:
        assert JUNE not in {row["sales_month"] for row in mart(platform, name)}
        assert JUNE.isoformat() not in platform.lake.snapshot(name).partitions("sales_month")


def test_a_policy_holds_from_its_month_and_coupons_stay(batches: Batches) -> None:
    """A month keeps what was paid until it is computed again; then the policy of the month holds, and every coupon is the one it was."""
    batches.overrides["coupon_secret"] = SECRET
    day = date(2026, 7, 1)
    lines = [line(1, 1, "2026-06-30", "100.00"), line(1, 2, "2026-06-30", "60.00")]
    lines += [line(1, 1, "2026-07-01", "100.00"), line(2, 2, "2026-07-01", "60.00")]
    with batches.platform() as platform:
        batches.land(platform, content(*lines), "sales", day.isoformat(), "a.csv")
        load_pending(platform)
        before, coupons = mart(platform, "sales_team_mart"), mart(platform, "customer_mart")
    batches.overrides["incentive"] = '[{}, {"from_month": "2026-07", "rate": 0.02, "top": 2}]'
    batches.overrides["coupon"] = '[{}, {"from_month": "2026-07", "regular_percent": 9, "valid_days": 10}]'
    with batches.platform() as platform:
        assert load_pending(platform) == []
        assert mart(platform, "sales_team_mart") == before
        load(platform, day, rebuild=True)
        earned = {(row["sales_month"], row["sales_person_id"]): str(row["incentive"]) for row in mart(platform, "sales_team_mart")}
        again = mart(platform, "customer_mart")
    assert earned == {(JUNE, 1): "1.00", (JUNE, 2): "0.00", (JULY, 1): "2.00", (JULY, 2): "1.20"}
    assert [row["coupon_code"] for row in again] == [row["coupon_code"] for row in coupons]
    assert len({row["coupon_code"] for row in again}) == 3
    shown = {(row["sales_month"], row["customer_id"]): (row["coupon_percent"], row["coupon_expiry"]) for row in again}
    assert shown == {(JUNE, 1): (5, date(2026, 7, 30)), (JULY, 1): (9, date(2026, 8, 10)), (JULY, 2): (5, date(2026, 8, 10))}
    digest = hmac.new(SECRET.encode(), b"2026-07|2", hashlib.sha256).hexdigest()
    assert again[-1]["coupon_code"] == f"SM-{digest[:20].upper()}"
