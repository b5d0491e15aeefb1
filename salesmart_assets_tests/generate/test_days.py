"""Generated days: reproducible, the same in every format, exact, as large and as faulty as asked for."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salesmart_assets.contracts import SOURCES, Contract
from salesmart_assets.errors import UsageError
from salesmart_assets.generate import Plan, generate, parse_size
from salesmart_assets.generate.faults import UNKNOWN_CUSTOMERS, UNKNOWN_SELLERS
from salesmart_assets.generate.receipts import BLOCK_ROWS
from salesmart_assets_tests.generate.conftest import MemorySink, Row, read, typed

DAY = date(2026, 3, 1)
Contracts = dict[str, Contract]


def make(plan: Plan, contracts: Contracts) -> MemorySink:
    sink = MemorySink()
    for file in generate(plan, sink, contracts):
        assert file.bytes == len(sink.files[file.source, file.batch_date, file.name])
    return sink


def rows_of(plan: Plan, contracts: Contracts, source: str = "sales") -> list[Row]:
    files = {key: content for key, content in make(plan, contracts).files.items() if key[0] == source}
    return [typed(row, contracts[source]) for (_, _, name), content in files.items() for row in read(name, content)]


@pytest.mark.parametrize(("kind", "packed"), [("csv", False), ("csv", True), ("json", True), ("parquet", False)])
def test_same_seed_same_bytes(contracts: Contracts, kind: Any, packed: bool) -> None:
    """The same plan gives the same bytes, and another seed gives others."""
    plan = Plan(DAY, days=2, rows=500, format=kind, gzip=packed, faults=0.05)
    other = Plan(DAY, days=2, rows=500, format=kind, gzip=packed, faults=0.05, seed=2)
    assert make(plan, contracts).files == make(plan, contracts).files
    assert make(plan, contracts).files != make(other, contracts).files


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.dates(date(2000, 1, 1), date(2090, 1, 1)),
    k=st.integers(1, 6),
    rows=st.integers(0, 300),
    seed=st.integers(0, 2**63),
    faults=st.sampled_from([0.0, 0.3]),
)
def test_a_day_stands_alone(contracts: Contracts, first: date, k: int, rows: int, seed: int, faults: float) -> None:
    """A day generated alone has the sales of the same day of a longer plan, and the dimensions that the longer plan has added up to."""
    day = first + timedelta(days=k)
    long = make(Plan(first, days=k + 1, rows=rows, seed=seed, faults=faults), contracts).files
    alone = make(Plan(day, rows=rows, seed=seed, faults=faults), contracts).files
    name = f"sales_{day}.csv"
    assert long["sales", day, name] == alone["sales", day, name]
    for source in SOURCES[1:]:
        key = str(contracts[source].natural_key)
        added_up: dict[Any, Row] = {}
        for (_, _, file), content in (item for item in long.items() if item[0][0] == source):
            added_up |= {row[key]: row for row in read(file, content)}
        full = {row[key]: row for row in read("x.csv", alone[source, day, f"{source}_{day}.csv"])}
        assert full == {number: added_up[number] for number in full}


def test_every_format_says_the_same(contracts: Contracts) -> None:
    """CSV, JSON lines and Parquet hold the same rows, of every source, and Parquet has the contract's types."""
    made = {kind: make(Plan(DAY, rows=700, format=kind), contracts).files for kind in ("csv", "json", "parquet")}
    for source in SOURCES:
        contract = contracts[source]
        read_back = {
            kind: [typed(row, contract) for (s, _, name), content in files.items() if s == source for row in read(name, content)]
            for kind, files in made.items()
        }
        assert read_back["csv"] == read_back["json"] == read_back["parquet"]
        assert list(read_back["csv"][0]) == list(contract.columns)
        schema = pq.read_schema(io.BytesIO(made["parquet"][source, DAY, f"{source}_{DAY}.parquet"]))
        assert schema == pa.schema([column.arrow for column in contract.table_columns()])


def test_amounts_are_exact(contracts: Contracts) -> None:
    """In every line total_cost is price × quantity to the cent, and written with two decimals."""
    content = make(Plan(DAY, rows=3_000), contracts).files["sales", DAY, f"sales_{DAY}.csv"]
    for row in read("x.csv", content):
        assert Decimal(row["price"]) * int(row["quantity"]) == Decimal(row["total_cost"])
        assert row["total_cost"][-3] == "." == row["price"][-3]


@pytest.mark.parametrize(
    ("kind", "packed", "size"),
    [("csv", False, "20kB"), ("csv", False, "30MB"), ("csv", True, "1MB"), ("json", False, "2MB"), ("parquet", False, "300kB")],
)
def test_size_is_met(contracts: Contracts, kind: Any, packed: bool, size: str) -> None:
    """The sales file of a day is within 5 % of the size asked for, as stored."""
    plan = Plan(DAY, size=parse_size(size), format=kind, gzip=packed)
    files = [file for file in generate(plan, MemorySink(), contracts) if file.source == "sales"]
    assert len(files) == 1
    assert abs(files[0].bytes / parse_size(size) - 1) < 0.05


def test_more_than_one_block(contracts: Contracts) -> None:
    """A file of several blocks has exactly the rows asked for, and no receipt line twice."""
    rows = BLOCK_ROWS + 500
    sink = make(Plan(DAY, rows=rows, format="parquet"), contracts)
    table = pq.read_table(io.BytesIO(sink.files["sales", DAY, f"sales_{DAY}.parquet"]))
    assert table.num_rows == rows
    assert table.group_by(["store_id", "sales_date", "transaction_id", "line_number"]).aggregate([]).num_rows == rows


def _verdict(cells: list[str], header: list[str]) -> str | None:
    """What is wrong with a CSV row, judged without knowing how it was spoilt."""
    if len(cells) != len(header):
        return "row cut short" if len(cells) < len(header) else "row too long"
    row = dict(zip(header, cells, strict=True))
    if not all(row[name] for name in header[:8]):
        return "NULL in a mandatory column"
    if row["sales_date"] == "2026-13-45":
        return "impossible date"
    if not row["quantity"].isdigit():
        return "text in quantity"
    if Decimal(row["price"]) < 0:
        return "negative price"
    if int(row["quantity"]) < 1:
        return "quantity of zero"
    if Decimal(row["price"]) * int(row["quantity"]) != Decimal(row["total_cost"]):
        return "wrong total"
    if int(row["sales_person_id"]) >= UNKNOWN_SELLERS:
        return "unknown seller"
    return "unknown customer" if int(row["customer_id"]) >= UNKNOWN_CUSTOMERS else None


def test_faults_are_as_many_as_told(contracts: Contracts) -> None:
    """The share of spoilt rows is about what was asked for, each kind occurs, and the file's record counts them rightly."""
    sink = MemorySink()
    sales = next(f for f in generate(Plan(DAY, rows=20_000, faults=0.04), sink, contracts) if f.source == "sales")
    header, *rows = list(csv.reader(io.StringIO(sink.files["sales", DAY, sales.name].decode(), newline="")))
    found = Counter(verdict for cells in rows if (verdict := _verdict(cells, header)))
    assert sales.rows == len(rows) == 20_000
    assert sales.faults == tuple(f"{count} × {kind}" for kind, count in sorted(found.items()))
    assert len(found) == 10
    assert 0.035 < found.total() / 20_000 < 0.045


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_faults_in_other_formats(contracts: Contracts, kind: Any) -> None:
    """JSON lines can be spoilt in every way, Parquet in those that its types allow; the good rows stay as they were."""
    sink = MemorySink()
    sales = next(f for f in generate(Plan(DAY, rows=5_000, faults=0.05, format=kind), sink, contracts) if f.source == "sales")
    clean = rows_of(Plan(DAY, rows=5_000, format=kind), contracts)
    content = sink.files["sales", DAY, sales.name]
    if kind == "parquet":
        spoilt = [row if row != good else None for row, good in zip(read(sales.name, content), clean, strict=True)]
        assert len(sales.faults) == 6
    else:
        good_lines = make(Plan(DAY, rows=5_000, format=kind), contracts).files["sales", DAY, sales.name].splitlines()
        spoilt = [{} if line != good else None for line, good in zip(content.splitlines(), good_lines, strict=True)]
        assert len(sales.faults) == 10
    assert len([row for row in spoilt if row is not None]) == sum(int(fault.split(" × ")[0]) for fault in sales.faults)


def test_customers_come_back_and_few_products_sell_most(contracts: Contracts) -> None:
    """Sales look like a chain's: customers return, a few products sell most, stores differ in size, one receipt in forty is late."""
    rows = rows_of(Plan(DAY, days=5, rows=4_000), contracts)
    days_of = defaultdict(set)
    for row in rows:
        days_of[row["customer_id"]].add(row["sales_date"])
    assert sum(len(days) >= 3 for days in days_of.values()) > 100
    assert sum(len(days) == 1 for days in days_of.values()) > 100
    products = [count for _, count in Counter(row["product_name"] for row in rows).most_common()]
    assert sum(products[: len(products) // 5]) > 0.45 * len(rows)
    stores = [count for _, count in Counter(row["store_id"] for row in rows).most_common()]
    assert stores[0] > 1.8 * stores[-1]
    late = sum(int(row["transaction_id"][1:9]) != int(row["sales_date"].strftime("%Y%m%d")) for row in rows)
    assert 0.01 < late / len(rows) < 0.05
    assert {row["payment_mode"] for row in rows} == {"cash", "card", "UPI"}
    receipts = Counter(row["transaction_id"] for row in rows)
    assert set(receipts.values()) == {1, 2, 3, 4, 5}


def test_sellers_sell_where_they_belong_at_the_price_of_the_day(contracts: Contracts) -> None:
    """A seller sells only in the store to which the sales team says they belong that day, at the product's list price or a discount."""
    for day in (DAY, DAY + timedelta(days=40)):
        plan = Plan(day, rows=2_000)
        store = {row["sales_person_id"]: row["store_id"] for row in rows_of(plan, contracts, "sales_team")}
        price = {row["product_id"]: (row["name"], row["price"]) for row in rows_of(plan, contracts, "products")}
        today = [row for row in rows_of(plan, contracts) if row["sales_date"] == day]
        assert all(store[row["sales_person_id"]] == row["store_id"] for row in today)
        assert all(row["product_name"] == price[row["product_id"]][0] for row in today)
        shares = [row["price"] / price[row["product_id"]][1] for row in today]
        assert all(Decimal("0.70") < share <= 1 for share in shares)
        assert sum(share == 1 for share in shares) > 0.8 * len(shares)
    assert len({name for name, _ in price.values()}) == len(price)


def test_management_is_a_tree_of_several_levels(contracts: Contracts) -> None:
    """From every seller the managers lead to the one head, over four steps at the bottom; who leads others is marked as a manager."""
    team = {row["sales_person_id"]: row for row in rows_of(Plan(DAY, rows=2_000), contracts, "sales_team")}

    def depth(number: int) -> int:
        manager = team[number]["manager_id"]
        return 0 if manager is None else 1 + depth(manager)

    assert Counter(depth(number) for number in team).keys() == {0, 1, 2, 3, 4}
    assert sum(row["manager_id"] is None for row in team.values()) == 1
    leaders = {row["manager_id"] for row in team.values()} - {None}
    assert all(team[number]["is_manager"] for number in leaders)
    assert all(row["store_id"] is not None for number, row in team.items() if depth(number) == 4)


def test_later_days_bring_only_changes(contracts: Contracts) -> None:
    """After the first day come new customers every day, and over two months new prices and sellers who move, each effective that day."""
    sink = make(Plan(DAY, days=60, rows=100), contracts)
    later: defaultdict[str, list[Row]] = defaultdict(list)
    for (source, day, name), content in sink.files.items():
        if source != "sales" and day > DAY:
            rows = read(name, content)
            assert {row["effective_date"] for row in rows} == {str(day)}
            later[source] += rows
    assert later.keys() == {"customers", "products", "sales_team"}
    assert len(later["customers"]) == 59
    assert len(later["products"]) > 60
    store = {row["sales_person_id"]: row["store_id"] for row in read("x.csv", sink.files["sales_team", DAY, f"sales_team_{DAY}.csv"])}
    assert later["sales_team"]
    for row in later["sales_team"]:
        assert row["store_id"] != store[row["sales_person_id"]]
        store[row["sales_person_id"]] = row["store_id"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("15GB", 15 * 10**9), ("1 kB", 1000), ("2KiB", 2048), ("1.5mib", 1572864), ("3TB", 3 * 10**12), ("7", 7), ("7 B", 7), ("1TiB", 2**40)],
)
def test_sizes(text: str, size: int) -> None:
    """Sizes are read with decimal and binary units, in any case."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1XB", "1 GB 2", "0", "0.1B", "1e3", "nan", "٣MB"])
def test_sizes_that_are_none(text: str) -> None:
    """What is no size is refused with the text and an example."""
    with pytest.raises(UsageError, match="500MB"):
        parse_size(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 1, "size": 1},
        {"days": 0},
        {"rows": -1},
        {"size": 0},
        {"faults": 1.5},
        {"format": "xlsx"},
        {"days": 10**9},
        {"faults": -0.1},
    ],
)
def test_plans_that_cannot_be(wrong: Any) -> None:
    """A plan that can't be carried out is refused before anything is written."""
    with pytest.raises(UsageError):
        Plan(DAY, **wrong)


def test_no_rows(contracts: Contracts) -> None:
    """A day without a sale is a file with a header and no row."""
    sink = make(Plan(DAY, rows=0), contracts)
    assert sink.files["sales", DAY, f"sales_{DAY}.csv"].decode().splitlines() == [",".join(contracts["sales"].columns)]


def _changed(contract: Contract, columns: dict[str, Any], **update: Any) -> Contract:
    document = contract.model_dump(exclude_unset=True)
    document["columns"] |= columns
    return Contract.model_validate(document | update)


def test_files_follow_an_edited_contract(contracts: Contracts) -> None:
    """Delimiter, decimal sign, date format, encoding, types and columns are those of the contract that is given."""
    edited = _changed(
        contracts["sales"],
        {
            "sales_date": {"type": "date", "required": True, "description": "Day.", "date_formats": ["%d/%m/%Y"]},
            "channel": {"type": "string", "required": True, "description": "Channel.", "values": ["shop", "web"]},
            "tip": {"type": "decimal(9,4)", "required": True, "description": "Tip.", "min": "2.5"},
            "weather": {"type": "string", "description": "Weather."},
        },
        delimiter=";",
        decimal_sign=",",
        encoding="utf-16-le",
    )
    content = make(Plan(DAY, rows=50), {**contracts, "sales": edited}).files["sales", DAY, f"sales_{DAY}.csv"]
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-16-le"), newline=""), delimiter=";"))
    assert len(rows) == 50
    assert rows[0]["sales_date"] == "01/03/2026"
    assert rows[0]["price"][-3] == ","
    assert (rows[0]["channel"], rows[0]["tip"], "weather" in rows[0]) == ("shop", "2,5000", False)


def test_a_pattern_cannot_be_invented(contracts: Contracts) -> None:
    """A required column of which only a pattern is known is refused by its name, with the way out."""
    edited = _changed(contracts["sales"], {"code": {"type": "string", "required": True, "description": "Code.", "pattern": "[A-Z]{3}"}})
    with pytest.raises(UsageError, match="'code' of sales"):
        make(Plan(DAY, rows=5), {**contracts, "sales": edited})
