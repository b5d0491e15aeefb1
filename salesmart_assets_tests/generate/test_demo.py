"""The demo shows every fault within three days, wherever it begins, and can be continued."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from salesmart_assets.contracts import Contract
from salesmart_assets.errors import UsageError
from salesmart_assets.generate import GeneratedFile, generate_demo
from salesmart_assets_tests.generate.conftest import MemorySink, read

DAY = date(2026, 3, 1)
Contracts = dict[str, Contract]


def demo(first: date, days: int, contracts: Contracts, rows: int = 600) -> tuple[list[GeneratedFile], MemorySink]:
    sink = MemorySink()
    return list(generate_demo(first, days, sink, contracts, rows=rows)), sink


@pytest.mark.parametrize("start", [0, 1, 2])
def test_three_days_show_everything(contracts: Contracts, start: int) -> None:
    """Any three days in a row have each format, bad rows, and a file of every special kind, and the records say so truly."""
    first = DAY + timedelta(days=start)
    files, sink = demo(first, 3, contracts)
    content = {file: sink.files[file.source, file.batch_date, file.name] for file in files}
    assert all(len(data) == file.bytes for file, data in content.items())

    def only(words: str) -> tuple[GeneratedFile, bytes]:
        found = [file for file in files if any(words in fault for fault in file.faults)]
        assert len(found) == 1
        return found[0], content[found[0]]

    lacking, data = only("lacks the mandatory column total_cost")
    assert "total_cost" not in read(lacking.name, data)[0]
    extra, data = only("extra column loyalty_points")
    assert all(int(row["loyalty_points"]) == int(float(row["total_cost"])) for row in read(extra.name, data))
    assert only("empty")[1] == b""
    _, data = only("same bytes as")
    assert list(content.values()).count(data) == 2
    for day in (first + timedelta(days=offset) for offset in range(3)):
        names = [file.name for file in files if file.source == "sales" and file.batch_date == day and not file.name.endswith("_copy.csv")]
        assert sum(re.search(r"_\d\.csv$", name) is not None for name in names) in {2, 3}
        assert any(name.endswith(".jsonl.gz") for name in names)
        assert any(name.endswith(".parquet") for name in names)
    assert any("price" in fault for file in files if file.source == "products" for fault in file.faults)
    customers = read("x.csv", sink.files["customers", first, f"customers_{first}.csv"])
    assert any("\n" in row["address"] for row in customers)
    assert any("," in row["address"] for row in customers)
    products = read("x.csv", sink.files["products", first, f"products_{first}.csv"])
    assert all(any(sign in row["name"] for row in products) for sign in ("\n", ",", '"'))


def test_a_seller_sells_before_being_announced(contracts: Contracts) -> None:
    """Each day somebody sells whom no sales team has named so far, and whom that of the next day names."""
    files, sink = demo(DAY, 4, contracts)
    known: set[str] = set()
    sold: set[str] = set()
    for offset in range(4):
        day = DAY + timedelta(days=offset)
        team = sink.files["sales_team", day, f"sales_team_{day}.csv"]
        known |= {row["sales_person_id"] for row in read("x.csv", team)}
        faults = [fault for file in files if file.source == "sales" and file.batch_date == day for fault in file.faults]
        [number] = {match[1] for fault in faults if (match := re.match(r"unknown seller (\d+), announced", fault))}
        assert number not in known
        assert sold <= known
        sold.add(number)


def test_a_demo_can_be_continued(contracts: Contracts) -> None:
    """A demo of later days is the later part of a longer demo; only its first day has the dimensions in full again."""
    _, long = demo(DAY, 6, contracts)
    _, rest = demo(DAY + timedelta(days=3), 3, contracts)
    first = DAY + timedelta(days=3)
    same = {key: data for key, data in rest.files.items() if key[0] == "sales" or key[1] > first}
    assert same == {key: data for key, data in long.files.items() if key[1] > first or (key[0] == "sales" and key[1] == first)}


def test_about_one_row_in_a_hundred_is_bad(contracts: Contracts) -> None:
    """In the day's ordinary files about 1 % of the rows are spoilt."""
    files, _ = demo(DAY, 3, contracts, rows=10_000)
    ordinary = [file for file in files if re.search(r"_\d\.(csv|jsonl\.gz|parquet)$", file.name) and file.source == "sales"]
    bad = sum(int(match[1]) for file in ordinary for fault in file.faults if (match := re.match(r"(\d+) × ", fault)))
    assert 0.008 < bad / sum(file.rows for file in ordinary) < 0.012


@pytest.mark.parametrize(("days", "rows"), [(0, 500), (1, 10), (1, 10**7)])
def test_demos_that_cannot_be(contracts: Contracts, days: int, rows: int) -> None:
    """A demo without days, or with too few or too many rows, is refused before anything is written."""
    with pytest.raises(UsageError):
        demo(DAY, days, contracts, rows)
