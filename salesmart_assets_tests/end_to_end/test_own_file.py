"""A file of one's own, with just the mandatory columns, goes all the way."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation


@dataclass(frozen=True)
class Sale:
    customer: int
    store: int
    product: str
    day: str
    seller: int
    price: Decimal
    quantity: int

    @property
    def total(self) -> Decimal:
        return self.price * self.quantity

    @property
    def line(self) -> str:
        return f"{self.customer},{self.store},{self.product},{self.day},{self.seller},{self.price},{self.quantity},{self.total}"


def five_months(count: int = 400) -> list[Sale]:
    chance = random.Random(7)
    return [
        Sale(
            chance.randint(1, 20),
            chance.randint(121, 123),
            chance.choice(["bread", "oil", "rice"]),
            f"2026-{chance.randint(3, 7):02d}-{chance.randint(1, 28):02d}",
            chance.randint(1, 9),
            Decimal(chance.randint(100, 99_999)) / 100,
            chance.randint(1, 10),
        )
        for _ in range(count)
    ]


def by_hand(sales: list[Sale]) -> dict[tuple[str, int, int], tuple[Decimal, Decimal]]:
    """(month, store, seller) -> total and incentive: 1 % for the store's top seller of the month, tied ones included."""
    totals: dict[tuple[str, int, int], Decimal] = defaultdict(Decimal)
    for sale in sales:
        totals[(f"{sale.day[:7]}-01", sale.store, sale.seller)] += sale.total
    best: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for (month, store, _), total in totals.items():
        best[(month, store)] = max(best[(month, store)], total)
    cent = Decimal("0.01")
    return {
        key: (total, (total * cent).quantize(cent, ROUND_HALF_UP) if total == best[key[:2]] else Decimal("0.00"))
        for key, total in totals.items()
    }


def assert_right(salesmart: Installation, sales: list[Sale]) -> None:
    tables = salesmart.tables()
    for name in ("sales_team_mart", "database/sales_team_mart"):
        found = {
            (row["sales_month"].isoformat(), row["store_id"], row["sales_person_id"]): (row["total_sales"], row["incentive"])
            for row in tables[name]
        }
        assert found == by_hand(sales), name
    spent: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for sale in sales:
        spent[(f"{sale.day[:7]}-01", sale.customer)] += sale.total
    for name in ("customer_mart", "database/customer_mart"):
        assert {(r["sales_month"].isoformat(), r["customer_id"]): r["total_sales"] for r in tables[name]} == spent, name
    assert all(row["full_name"] is None for row in tables["sales_team_mart"])
    assert len(tables["fact_sales"]) == len(sales)


def test_five_months_without_a_dimension(salesmart_on: Installation) -> None:
    """A plain CSV over five months, with no dimension file at all, reaches the marts with the totals and incentives of a sum by hand."""
    sales = five_months()
    path = salesmart_on.write("x.csv", "\n".join([HEADER, *(s.line for s in sales)]) + "\n")
    salesmart_on("land", path, "--source", "sales")
    salesmart_on("run")
    assert_right(salesmart_on, sales)
    (file,) = salesmart_on.json("status", "--json")
    assert (file["status"], file["outcome"], file["rows_read"], file["rows_accepted"]) == ("I", "loaded", 400, 400)


def test_the_same_file_in_two_halves(salesmart: Installation) -> None:
    """Split in two files and loaded in two runs, the same rows give the same marts: nobody is paid twice for a month."""
    sales = five_months()
    for number, part in enumerate((sales[:150], sales[150:])):
        path = salesmart.write(f"part{number}.csv", "\n".join([HEADER, *(s.line for s in part)]) + "\n")
        salesmart("land", path, "--source", "sales")
        salesmart("run")
    assert_right(salesmart, sales)


def test_running_again_changes_nothing(salesmart: Installation) -> None:
    """`run` twice, and `run --date` on a finished date, give the same tables, row for row."""
    sales = five_months(120)
    path = salesmart.write("x.csv", "\n".join([HEADER, *(s.line for s in sales), "1,2,bad,not-a-date,3,1.00,1,1.00"]) + "\n")
    salesmart("land", path, "--source", "sales", "--date", "2026-08-01")
    salesmart("run")
    before = salesmart.tables()
    assert len(before["rejected_rows"]) == 1
    assert "Nothing is pending" in salesmart("run").stderr
    salesmart("run", "--require-files", code=1)
    assert salesmart.tables() == before
    salesmart("run", "--date", "2026-08-01")
    assert salesmart.tables() == before
    assert "Plan: rebuild 1 batch (2026-08-01)" in salesmart("run", "--date", "2026-08", "--date", "2026-08-01").stderr
    assert salesmart.tables() == before
    (file,) = salesmart.json("status", "--json")
    assert (file["status"], file["outcome"], file["rows_read"], file["rows_rejected"]) == ("I", "loaded", 121, 1)


def test_restated_months_are_listed(salesmart: Installation) -> None:
    """A run lists the months whose figures were told before and now are others: of late sales and late corrections, not of new days."""

    def land(name: str, source: str, batch_date: str, *lines: str) -> None:
        salesmart("land", salesmart.write(name, "\n".join(lines) + "\n"), "--source", source, "--date", batch_date)

    prices = "product_id,name,category,price,cost,stock_on_hand,expiry_date,effective_date"
    june, july, august = (f"1,121,bread,2026-{day},1,2.50,2,5.00" for day in ("06-01", "07-01", "08-01"))
    land("p.csv", "products", "2026-08-01", prices, "1,bread,food,2.50,1.00,7,,2026-01-01")
    land("a.csv", "sales", "2026-08-01", HEADER, june, july, august)
    land("b.csv", "sales", "2026-08-02", HEADER, august.replace("08-01", "08-02"))
    assert "Restated" not in salesmart("run").stdout
    land("late.csv", "sales", "2026-08-03", HEADER, "9,121,oil,2026-06-30,2,1.00,1,1.00", "9,121,oil,2026-05-30,2,1.00,1,1.00")
    land("q.csv", "products", "2026-08-04", prices, "1,bread,food,2.00,1.00,7,,2026-08-02")
    assert "\nRestated months: 2026-06, 2026-08\n" in salesmart("run").stdout
