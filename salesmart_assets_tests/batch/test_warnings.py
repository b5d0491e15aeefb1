"""Checks that warn and stop nothing: what somebody should look after, with examples."""

from __future__ import annotations

from datetime import date
from importlib import resources
from pathlib import Path

from salesmart_assets.batch import marts, reconcile
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Run
from salesmart_assets_tests.batches import HEADER, Batches, load_pending, tables

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


def test_management(batches: Batches, platform: Platform) -> None:
    """Circles, a manager who is no seller and a second head are told by number and initials; all others have their teams' sales."""
    team = (
        "1,Mia,Stone,,true",
        "2,Leo,Marsh,1,true",
        "7,Ann,Hill,2,false",
        "3,Bob,Lake,4,true",
        "4,Eva,Moor,3,true",
        "8,Jim,Dale,3,false",
        "9,Sue,Vale,77,false",
        "5,Tom,Reed,,true",
    )
    header = "sales_person_id,first_name,last_name,manager_id,is_manager,store_id,address,pincode,joining_date"
    batches.land(platform, content(header, *(f"{line},121,,," for line in team)), "sales_team", DAY, "team.csv")
    sales = content(HEADER, *(f"1,121,tea,{DAY},{seller},1.00,1,1.00" for seller in (2, 7, 8, 9)))
    batches.land(platform, sales, "sales", DAY, "a.csv")
    load_pending(platform)
    found = reconcile.management_is_a_tree(platform, date.fromisoformat(DAY))
    assert not found.passed
    assert found.facts["examples"] == [
        "Manager 77 is not among the sellers on 2026-08-10.",
        "Sellers manage each other in a circle, B. L. (3) under E. M. (4) under B. L. (3), on 2026-08-10.",
        "The team has 2 heads, who have no manager, M. S. (1), T. R. (5), on 2026-08-10.",
    ]
    assert found.sentence.startswith("3 faults in the tree of managers; the rest of it stands. ")
    teams = {row["manager_id"]: str(row["team_sales"]) for row in tables(platform, ["manager_mart"])["manager_mart"]}
    assert teams == {1: "2.00", 2: "1.00", 3: "1.00", 77: "1.00"}
    platform.ledger.touch({"manager_mart": ["2026-08-01"]}, None)
    report = marts.build_mart(platform, "manager_mart", Run(date.fromisoformat(DAY), "again"))
    assert report.facts["management_problems"] == found.facts["examples"]


def test_management_by_name(batches: Batches, tmp_path: Path) -> None:
    """Where the contract calls sellers' names no personal data, they are told in full."""
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    packaged = resources.files("salesmart_assets.contracts").joinpath("sales_team.yaml").read_text("utf-8")
    (contracts / "sales_team.yaml").write_text(packaged.replace("pii: true", "pii: false"), "utf-8")
    open_names = Batches(batches.home, {"contracts": contracts})
    with open_names.platform() as platform:
        header = "sales_person_id,first_name,last_name,manager_id,is_manager,store_id,address,pincode,joining_date"
        open_names.land(platform, content(header, "1,Mia,Stone,1,true,121,,,"), "sales_team", DAY, "team.csv")
        load_pending(platform)
        found = reconcile.management_is_a_tree(platform, date.fromisoformat(DAY))
        assert found.sentence == "Seller Mia Stone (1) is named as their own manager on 2026-08-10. The rest of the tree stands."
