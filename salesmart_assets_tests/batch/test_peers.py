"""Our marts beside the usual way to keep them: totals of what a run read, joined with today's members, and appended.

Where that way is right, both give the same; where it goes wrong, the table of docs/marts.md says how, and these tests hold
both of its columns: the one to what that rule gives, the other to what the program gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salesmart_assets.batch.platform import Platform
from salesmart_assets.settings import IncentivePolicy
from salesmart_assets.transforms.marts import customer_mart, sales_team_mart
from salesmart_assets.transforms.rollups import daily_customer_sales, daily_seller_sales
from salesmart_assets.transforms.session import frame_of
from salesmart_assets_tests.batches import HEADER, Batches, load, load_pending, session
from salesmart_assets_tests.page_tables import table_of
from salesmart_assets_tests.transforms.staged import TABLES, arrow, staged_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MONTH = date(2026, 8, 1)


@dataclass(frozen=True, slots=True)
class Line:
    """A sold line as a file has it; `total` is what the file says, whatever price and quantity are."""

    store: int
    seller: int
    customer: int
    day: str
    total: str
    price: str = ""
    receipt: str = ""

    @property
    def text(self) -> str:
        return f"{self.customer},{self.store},tea,{self.day},{self.seller},{self.price or self.total},1,{self.total},{self.receipt},1"


@dataclass
class Appended:
    """The usual way: one batch after another is added up, joined and appended; amounts are floats.

    Members are the rows of the member tables, as they stand there: who was delivered twice stands there twice.
    """

    customers: Sequence[int]
    stores: Sequence[int]
    sellers: Sequence[int]
    customer_rows: list[tuple[date, int, float]] = field(default_factory=list)
    team_rows: list[tuple[date, int, int, float, float]] = field(default_factory=list)

    def add(self, lines: Sequence[Line]) -> Appended:
        """Process one batch: inner joins, sums by store, seller and month, rank(), 1 % rounded for rank 1, and append."""
        bought: dict[tuple[date, int], float] = {}
        sold: dict[tuple[date, int, int], float] = {}
        for line in lines:
            month = date.fromisoformat(line.day).replace(day=1)
            known = self.customers.count(line.customer) * self.stores.count(line.store)
            for _ in range(known):
                bought[month, line.customer] = bought.get((month, line.customer), 0.0) + float(line.total)
            for _ in range(known * self.sellers.count(line.seller)):
                key = month, line.store, line.seller
                sold[key] = sold.get(key, 0.0) + float(line.total)
        self.customer_rows += [(*key, total) for key, total in bought.items()]
        for (month, store, seller), total in sold.items():
            rank = 1 + sum(other > total for (m, s, _), other in sold.items() if (m, s) == (month, store))
            self.team_rows.append((month, store, seller, total, _rounded(total * 0.01) if rank == 1 else 0.0))
        return self

    def sold(self, store: int) -> list[float]:
        """What the rows of a store say was sold."""
        return [total for _, s, _, total, _ in self.team_rows if s == store]

    def paid(self, store: int) -> list[tuple[int, float]]:
        """The sellers of a store who are paid, and what."""
        return [(seller, paid) for _, s, seller, _, paid in self.team_rows if s == store and paid]


def _rounded(value: float) -> float:
    """Two decimals, half up, as engines round a float: by its shortest decimal."""
    return float(Decimal(repr(value)).quantize(Decimal("0.01"), ROUND_HALF_UP))


LINES = st.lists(
    st.builds(
        Line,
        store=st.integers(121, 122),
        seller=st.integers(1, 3),
        customer=st.integers(1, 3),
        day=st.sampled_from(["2026-08-01", "2026-08-31", "2026-09-01"]),
        total=st.integers(0, 400).map("{}.00".format),
    ),
    min_size=1,
    max_size=20,
)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(lines=LINES)
def test_where_the_usual_way_is_right_ours_is_equal(lines: list[Line]) -> None:
    """Of one batch with known members, no line twice and whole amounts, sales_team_mart and the customers' totals are the usual ones."""
    usual = Appended(range(1, 4), range(121, 123), range(1, 4)).add(lines)
    rows = [
        {
            "store_id": line.store,
            "sales_person_id": line.seller,
            "customer_id": line.customer,
            "sales_date": date.fromisoformat(line.day),
            "total_cost": Decimal(line.total),
        }
        for line in lines
    ]
    fact = frame_of(session(), arrow(staged_rows("sales", rows), TABLES["stg_sales"]))
    sellers, customers = (_known(name, key) for name, key in (("dim_sales_person", "sales_person_id"), ("dim_customer", "customer_id")))
    today = date(2030, 1, 1)
    daily = daily_seller_sales(fact, TABLES["daily_seller_sales"])
    team = sales_team_mart(daily, sellers, TABLES["sales_team_mart"], [IncentivePolicy()], today).toArrow().to_pylist()
    keys = ("sales_month", "store_id", "sales_person_id", "full_name", "total_sales", "incentive")
    assert Counter(tuple(row[key] for key in keys) for row in team) == Counter(
        (month, store, seller, f"First{seller} Last", Decimal(f"{total:.2f}"), Decimal(f"{paid:.2f}"))
        for month, store, seller, total, paid in usual.team_rows
    )
    by_day = daily_customer_sales(fact, TABLES["daily_customer_sales"])
    months = [MONTH, MONTH.replace(month=9)]
    mart = customer_mart(by_day, customers, TABLES["customer_mart"], [], b"secret", today, months).toArrow().to_pylist()
    assert Counter((row["sales_month"], row["customer_id"], row["full_name"], row["total_sales"]) for row in mart) == Counter(
        (month, customer, f"First{customer} Last", Decimal(f"{total:.2f}")) for month, customer, total in usual.customer_rows
    )


def _known(name: str, key: str) -> DataFrame:
    """The members 1 to 3 of a dimension."""
    version = {"last_name": "Last", "valid_from": date(2020, 1, 1), "is_current": True, "is_deleted": False}
    rows = [{**dict.fromkeys(TABLES[name].names), **version, key: number, "first_name": f"First{number}"} for number in range(1, 4)]
    return frame_of(session(), arrow(rows, TABLES[name]))


WHOLE = (Line(120, 1, 1, "2026-08-05", "1000.00"), Line(120, 2, 1, "2026-08-05", "900.00"), Line(120, 2, 2, "2026-08-06", "300.00"))
FIRST = (Line(121, 1, 1, "2026-08-05", "1000.00"), Line(121, 2, 2, "2026-08-05", "900.00"))
SECOND = (Line(121, 2, 1, "2026-08-06", "300.00"),)
REPEATED = (Line(122, 3, 2, "2026-08-06", "500.00"),)
STRANGERS = (Line(123, 3, 2, "2026-08-05", "10.00"), Line(123, 3, 77, "2026-08-05", "20.00"), Line(123, 88, 2, "2026-08-05", "30.00"))
NO_STORE = (Line(999, 3, 2, "2026-08-05", "70.00"),)
MISTAKEN, CORRECTED = (Line(124, 3, 2, "2026-08-05", "100.00"),), (Line(124, 3, 2, "2026-08-05", "40.00"),)
RECEIPT = (Line(125, 3, 2, "2026-08-05", "80.00", receipt="r1"),)
WRONG = (Line(126, 3, 2, "2026-08-05", "1000.00", price="10.00"), Line(126, 3, 2, "2026-08-05", "10.00"))
BINARY = (Line(127, 3, 2, "2026-08-05", "10.10"), Line(127, 3, 2, "2026-08-05", "20.20"), Line(127, 4, 2, "2026-08-05", "30.30"))
BEFORE, AFTER = (Line(128, 5, 2, "2026-08-05", "10.00"),), (Line(129, 5, 2, "2026-08-06", "20.00"),)
TEAM = "sales_person_id,first_name,last_name,manager_id,is_manager,store_id,address,pincode,joining_date"


def _content(*lines: Line) -> str:
    return "\n".join((f"{HEADER},transaction_id,line_number", *(line.text for line in lines))) + "\n"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """All of it, in two batches; then one is run again, and a file is delivered again."""
    batches = Batches(tmp_path_factory.mktemp("peers") / "home")
    with batches.platform() as opened:
        first = (*WHOLE, *FIRST, *STRANGERS, *NO_STORE, *RECEIPT, *WRONG, *BINARY, *BEFORE)
        batches.land(opened, _content(*first), "sales", "2026-08-05", "first.csv")
        batches.land(opened, _content(*MISTAKEN), "sales", "2026-08-05", "store_124.csv")
        team = (
            f"{number},First{number},Last,{manager},false,121,x,1,2020-01-01"
            for number, manager in ((1, 6), (2, 6), (3, 6), (4, 6), (5, 6))
        )
        batches.land(opened, "\n".join((TEAM, *team)) + "\n", "sales_team", "2026-08-05", "team.csv")
        load_pending(opened)
        batches.land(opened, _content(*SECOND, *REPEATED, *RECEIPT, *AFTER), "sales", "2026-08-06", "second.csv")
        batches.land(opened, f"{TEAM}\n5,First5,Last,7,false,129,x,1,2020-01-01\n", "sales_team", "2026-08-06", "team.csv")
        load_pending(opened)
        load(opened, date(2026, 8, 6), rebuild=True)
        batches.land(opened, _content(*CORRECTED), "sales", "2026-08-05", "store_124.csv")
        load_pending(opened)
        yield opened


def _usual(*runs: Sequence[Line], sellers: Sequence[int] = range(1, 6)) -> Appended:
    """The usual way over the batches in the order in which they are run, where all but store 999 and the strangers are known."""
    found = Appended(range(1, 10), range(120, 130), sellers)
    for lines in runs:
        found.add(lines)
    return found


@dataclass(frozen=True, slots=True)
class Ours:
    """The marts of the program."""

    platform: Platform

    def rows(self, name: str) -> list[dict[str, object]]:
        return self.platform.lake.snapshot(name).read().to_pylist()

    def of_store(self, store: int) -> list[tuple[int, Decimal, Decimal]]:
        """Seller, total and incentive of a store in August, by seller."""
        rows = [row for row in self.rows("sales_team_mart") if row["store_id"] == store and row["sales_month"] == MONTH]
        return sorted((row["sales_person_id"], row["total_sales"], row["incentive"]) for row in rows)  # type: ignore[misc,type-var]

    def paid(self, store: int) -> str:
        return " and ".join(f"{paid:,.2f} to seller {seller}" for seller, _, paid in self.of_store(store) if paid)

    def sold(self, store: int) -> Decimal:
        return sum((total for _, total, _ in self.of_store(store)), Decimal(0))


def _whole(ours: Ours) -> tuple[str, str]:
    return " and ".join(f"{paid:,.2f} to seller {seller}" for seller, paid in _usual(WHOLE).paid(120)), ours.paid(120)


def _split(ours: Ours) -> tuple[str, str]:
    payments = [f"{paid:,.2f} to seller {seller}" for seller, paid in _usual(FIRST, SECOND).paid(121)]
    best = max(ours.of_store(121), key=lambda row: row[1])[0]
    assert payments[-1].endswith(f"seller {best}")
    return f"{' and '.join(payments)}, who leads", ours.paid(121)


def _repeated(ours: Ours) -> tuple[str, str]:
    usual = _usual(REPEATED, REPEATED)
    amounts = [paid for _, paid in usual.paid(122)]
    assert len(set(amounts)) == 1
    assert len(amounts) == 2
    ((_, sold, paid),) = ours.of_store(122)
    return f"{sum(usual.sold(122)):,.2f} sold, {amounts[0]:.2f} paid twice", f"{sold:,.2f} sold, {paid:.2f} paid"


def _strangers(ours: Ours) -> tuple[str, str]:
    kept = [line for line in STRANGERS if _usual([line]).sold(123)]
    lines = sum(row["number_of_sales"] for row in ours.rows("sales_team_mart") if row["store_id"] == 123)  # type: ignore[misc]
    return (
        f"{len(kept)} of {len(STRANGERS)} rows, {sum(_usual(STRANGERS).sold(123)):,.2f} sold",
        f"{lines} of {len(STRANGERS)} rows, {ours.sold(123):,.2f} sold",
    )


def _no_store(ours: Ours) -> tuple[str, str]:
    return "nothing sold" if not _usual(NO_STORE).sold(999) else "something", f"{ours.sold(999):,.2f} sold"


def _corrected(ours: Ours) -> tuple[str, str]:
    return f"{sum(_usual(MISTAKEN, CORRECTED).sold(124)):,.2f} sold", f"{ours.sold(124):,.2f} sold"


def _receipt(ours: Ours) -> tuple[str, str]:
    return f"{sum(_usual(RECEIPT, RECEIPT).sold(125)):,.2f} sold", f"{ours.sold(125):,.2f} sold"


def _wrong(ours: Ours) -> tuple[str, str]:
    in_full, rest = (_usual(lines).paid(126)[0][1] for lines in (WRONG, WRONG[1:]))
    ((_, _, paid),) = ours.of_store(126)
    rejected = ours.platform.lake.snapshot("rejected_rows").read().to_pylist()
    assert [row["codes"] for row in rejected] == ["row.total_mismatch"]
    return f"{in_full - rest:.2f} paid for it", f"the line is rejected, {paid:.2f} paid"


def _binary(ours: Ours) -> tuple[str, str]:
    usual, mine = _usual(BINARY).paid(127), ours.of_store(127)
    assert len(usual) == 1
    assert {total for _, total, _ in mine} == {Decimal("30.30")}
    assert len({paid for _, _, paid in mine}) == 1
    return f"{usual[0][1]:.2f} to one of two who sold for {mine[0][1]}", f"{mine[0][2]} to both"


def _moved(ours: Ours) -> tuple[str, str]:
    usual = _usual(BEFORE, AFTER, sellers=(1, 2, 3, 4, 5, 5))
    assert [(seller, total) for seller, total, _ in (*ours.of_store(128), *ours.of_store(129))] == [(5, Decimal(10)), (5, Decimal(20))]
    teams = {row["manager_id"]: row["team_sales"] for row in ours.rows("manager_mart")}
    assert teams[7] == Decimal(20), "the new manager has what was sold since the move, and only that"
    return (
        f"{usual.sold(128)[0]:.2f} and {usual.sold(129)[0]:.2f} sold",
        f"{ours.sold(128):.2f} sold before the move and {ours.sold(129):.2f} after it",
    )


def _customer(ours: Ours) -> tuple[str, str]:
    rows = [total for _, customer, total in _usual(FIRST, SECOND).customer_rows if customer == 1]
    # Of customer 1 there is also what the other file for the whole month has.
    (mine,) = (row["total_sales"] for row in ours.rows("customer_mart") if row["customer_id"] == 1)
    total = mine - sum(Decimal(line.total) for line in WHOLE if line.customer == 1)  # type: ignore[operator]
    return f"rows of {' and '.join(f'{row:,.2f}' for row in rows)}", f"one row of {total:,.2f}"


CASES: dict[str, Callable[[Ours], tuple[str, str]]] = {
    "one file has the whole month": _whole,
    "a month comes in two files": _split,
    "a run is repeated": _repeated,
    "a customer and a seller are not known yet": _strangers,
    "a store is not known yet": _no_store,
    "a file is delivered again, corrected": _corrected,
    "two files share a line of a receipt": _receipt,
    "a line's total is wrong": _wrong,
    "amounts are binary fractions": _binary,
    "a seller's new row tells of a move": _moved,
    "a customer buys in two files of a month": _customer,
}


def test_every_case_of_the_page_is_tried() -> None:
    """The cases of docs/marts.md are those that are tried here."""
    assert [row[0] for row in table_of("marts.md", "file by file")] == list(CASES)


@pytest.mark.parametrize("case", CASES)
def test_where_the_usual_way_goes_wrong(platform: Platform, case: str) -> None:
    """Totals of a run, joined with the known members and appended, go wrong as docs/marts.md says; the marts here do not."""
    told = {what: (theirs, ours) for what, theirs, ours in table_of("marts.md", "file by file")}
    assert CASES[case](Ours(platform)) == told[case]
