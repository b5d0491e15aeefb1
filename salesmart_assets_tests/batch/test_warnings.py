"""Checks that warn and stop nothing: what somebody should look after, with examples."""

from __future__ import annotations

from datetime import date

from salesmart_assets.batch import reconcile
from salesmart_assets_tests.batches import HEADER, Batches, load_pending

DAY = "2026-08-10"
PRODUCTS = (
    "product_id,name,category,price,cost,stock_on_hand,expiry_date",
    "1,bread,food,2.50,1.00,0,2027-01-01",
    "2,oil,food,9.00,4.00,3,2026-08-09",
    "3,tea,food,9.00,4.00,3,2026-08-20",
    "4,salt,food,9.00,4.00,3,2026-08-21",
    "5,rice,food,9.00,4.00,0,2026-08-12",
)


def content(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def test_stock_and_expiry(batches: Batches) -> None:
    """Products that are sold without stock, have expired with some left, or expire within the days of the setting are told by name."""
    limited = Batches(batches.home, {"expiry_days": 10})
    with limited.platform() as platform:
        limited.land(platform, content(*PRODUCTS), "products", DAY, "products.csv")
        limited.land(
            platform, content(HEADER, f"1,121,bread,{DAY},1,2.50,2,5.00", f"1,121,salt,{DAY},1,9.00,1,9.00"), "sales", DAY, "a.csv"
        )
        load_pending(platform)
        found = reconcile.stock_and_expiry(platform, date.fromisoformat(DAY))
        assert not found.passed
        assert found.facts == {
            "sold though not in stock": {"products": 1, "examples": ["1 bread: expires 2027-01-01, 2 sold"]},
            "expired with stock left": {"products": 1, "examples": ["2 oil: expires 2026-08-09"]},
            "expire within 10 days": {"products": 1, "examples": ["3 tea: expires 2026-08-20"]},
        }
        assert found.sentence.startswith(
            "Products to look after: 1 sold though not in stock (such as 1 bread: expires 2027-01-01, 2 sold), "
        )
        assert reconcile.stock_and_expiry(platform, date(2026, 7, 1)).passed
