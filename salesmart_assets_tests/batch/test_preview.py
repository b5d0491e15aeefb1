"""What people see of a table in passing."""

from __future__ import annotations

from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.preview import preview
from salesmart_assets.contracts import HIDDEN
from salesmart_assets.contracts.tables import MARTS
from salesmart_assets_tests.batches import HEADER, Batches, load_pending

CUSTOMERS = "customer_id,first_name,last_name,address,pincode,phone_number,customer_joining_date"


def test_personal_data_and_coupons_are_hidden(batches: Batches, platform: Platform) -> None:
    """No customer's name, address, telephone number or coupon, and no column that nobody knows, is in a table's preview."""
    batches.land(platform, f"{CUSTOMERS}\n501,Mary,Jones,12 Lake View,10001,555-0101,2020-01-10\n", "customers", "2026-07-01", "c.csv")
    batches.land(platform, f"{HEADER},note\n501,121,bread,2026-07-01,1,2.50,2,5.00,ask Mary\n", "sales", "2026-07-01", "a.csv")
    load_pending(platform)
    seen = {table.name: preview(platform.lake.snapshot(table.name)) for table in platform.tables}
    assert all(seen[name].count("\n") == 2 for name in ("stg_sales", "fact_sales", "dim_customer", "customer_mart"))
    secret = {str(row["coupon_code"]) for row in platform.lake.snapshot("customer_mart").read().to_pylist()}
    for text in ("Mary", "Jones", "Lake View", "555-0101", *secret):
        assert [name for name, told in seen.items() if text in told] == []
    assert seen["customer_mart"].count(HIDDEN) == 4
    assert "5.00" in seen["customer_mart"]
    assert all(name in seen for name in MARTS)


def test_a_preview_is_of_the_slices_that_were_made(batches: Batches, platform: Platform) -> None:
    """Of a table with many months the preview shows the month that was made now; of one without rows it is empty."""
    assert preview(platform.lake.snapshot("sales_team_mart")) == ""
    for day in ("2026-06-30", "2026-07-01"):
        batches.land(platform, f"{HEADER}\n1,121,bread,{day},1,2.50,2,5.00\n", "sales", day, "a.csv")
    load_pending(platform)
    mart = platform.lake.snapshot("sales_team_mart")
    assert "2026-07-01" in preview(mart, ["2026-07-01"])
    assert "2026-06-01" not in preview(mart, ["2026-07-01"])
