"""The contract's own rules: limits, patterns, listed values, formats, and expressions over a row."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from salesmart_assets.contracts import Contract, ContractColumn, RowRule, load_contracts
from salesmart_assets.errors import ContractError
from salesmart_assets.ingest.codes import COLUMN_CODES, FILE_CODES, ROW_CODES, explain
from salesmart_assets.ingest.kernel import FileReader
from salesmart_assets.ingest.values import Parser, Unfit
from salesmart_assets_tests.ingest.reading import HEADER, ROW, SALES, csv, read


def with_column(name: str, **changes: object) -> Contract:
    column = SALES.columns[name].model_copy(update=changes)
    return SALES.model_copy(update={"columns": {**SALES.columns, name: column}})


def with_rule(expression: str) -> Contract:
    return SALES.model_copy(update={"rules": (RowRule(name="mine", expression=expression, message="it is not so"),)})


@pytest.mark.parametrize(
    ("column", "changes", "good", "bad", "codes"),
    [
        ("quantity", {"max": "5", "min": None}, "5", "6", "max:quantity"),
        ("sales_date", {"min": "2026-01-01", "max": "2026-12-31"}, "2026-12-31", "2027-01-01", "max:sales_date"),
        ("sales_date", {"min": "2026-01-01", "date_formats": ("%d/%m/%Y",)}, "1/1/2026", "31/12/2025", "min:sales_date"),
        ("sales_date", {"date_formats": ("%d.%m.%Y", "%Y%m%d")}, "20260301", "2026-03-01", "format:sales_date"),
        ("sales_date", {"date_formats": ("%d %b %Y",)}, "01 Mar 2026", "01 Mär 2026", "format:sales_date"),
        ("sales_date", {"date_formats": ("%Y%m%d",)}, "20260301", "2026301", "format:sales_date"),
        ("product_name", {"pattern": r"(?=T)\w+"}, "Tee", "Tea!", "pattern:product_name"),
        ("store_id", {"pattern": r"12\d"}, "0125", "131", "pattern:store_id"),
        ("product_name", {"values": ("Tea", "Milk")}, "Milk", "milk", "values:product_name"),
        ("price", {"values": ("1.5", "2")}, "2.000", "3", "values:price"),
        ("product_name", {"type": "boolean"}, "YES", "perhaps", "type:product_name"),
    ],
)
def test_each_rule_at_and_over_its_limit(column, changes, good, bad, codes):
    """A value at the limit passes, one over it is rejected with the rule's code."""
    contract = with_column(column, **changes).model_copy(update={"rules": ()})
    place = HEADER.split(",").index(column)

    def row(value: str) -> str:
        return ",".join(value if at == place else cell for at, cell in enumerate(ROW.split(",")))

    result = read(csv(row(good), row(bad)), contract=contract)
    assert result.codes == {2: codes}


def test_timestamps_are_moments_in_utc():
    """A timestamp is ISO 8601, in UTC where no zone is given; what is finer than a microsecond is rejected."""
    contract = with_column("product_name", type="timestamp")
    cells = [
        "2026-03-01",
        "2026-03-01 12:30",
        "2026-03-01T12:30:15.123456Z",
        "2026-03-01T00:30:00+02:00",
        "2026-03-01T24:00:00",
        "2026-03-01 00:00:00.1234567",
    ]
    result = read(csv(*[ROW.replace("Tea", cell) for cell in cells]), contract=contract)
    utc = timezone.utc
    assert [row["product_name"] for row in result.rows] == [
        datetime(2026, 3, 1, tzinfo=utc),
        datetime(2026, 3, 1, 12, 30, tzinfo=utc),
        datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=utc),
        datetime(2026, 2, 28, 22, 30, tzinfo=utc),
    ]
    assert result.codes == {5: "format:product_name", 6: "scale:product_name"}


@pytest.mark.parametrize("kind", ["decimal(38,0)", "decimal(38,38)", "decimal(38,10)", "decimal(1,1)", "decimal(5,0)"])
def test_decimals_of_every_size_are_exact(kind):
    """The largest and the smallest number of a decimal type pass exactly, one digit more is rejected."""
    column = ContractColumn(type=kind, description="a number")
    precision, scale = column.column_type.decimal or (0, 0)
    digits = "9" * precision
    largest = f"{digits[: precision - scale] or '0'}.{digits[precision - scale :]}".rstrip(".")
    parsed = Parser(column, ".").all(
        pa.array([largest, f"-{largest}", f"1{'0' * (precision - scale)}", f"{largest if scale else largest + '.'}1"])
    )
    assert parsed.values.to_pylist() == [Decimal(largest), Decimal(f"-{largest}"), None, None]
    assert {kind: places.tolist() for kind, places in parsed.faults.items()} == {"range": [2], "scale": [3]}


@pytest.mark.parametrize(
    "text", ["", " ", ".5", "5.", "--5", "+", "0x1", "1_000", "1 000", "½", "٣", "1e3", "nan", "-inf", "1,5", "1.5.5", "𝟓"]
)
def test_what_is_no_number(text):
    """Only plain ASCII digits make a number."""
    for kind in ("integer", "decimal(18,2)"):
        with pytest.raises(Unfit, match="type"):
            Parser(ContractColumn(type=kind, description="a number"), ".").one(text)


@pytest.mark.parametrize(
    "expression",
    [
        "price >",
        "nonsense(price) > 1",
        "unknown > 1",
        "price",
        "1 = 1",
        "count(*) > 1",
        "sum(price) > 1",
        "sum(price) over (partition by store_id) > 1",
    ],
)
def test_a_rule_that_cannot_be_applied_is_a_fault_of_the_contract(expression):
    """A rule that does not compile, names an unknown column or does not judge rows is said before anything is read."""
    with pytest.raises(ContractError, match=r"contract of sales: rules\[1\]\.expression: "):
        FileReader(Path(), "x.csv", with_rule(expression))


def test_a_limit_that_is_no_value_is_a_fault_of_the_contract():
    """A limit or listed value that is no value of its column is said before anything is read."""
    for contract in (
        with_column("price", min="cheap"),
        with_column("sales_date", max="2026-02-30"),
        with_column("quantity", values=("x",)),
    ):
        with pytest.raises(ContractError, match="is no value of the column's type"):
            FileReader(Path(), "x.csv", contract)
    with pytest.raises(ContractError, match=r"rules\[1\]\.name: ragged has a meaning of its own"):
        FileReader(Path(), "x", SALES.model_copy(update={"rules": (RowRule(name="ragged", expression="price > 0", message="no"),)}))


def test_a_rule_does_not_judge_rows_without_its_columns():
    """A row in which a column of a rule is missing, or was no value, is not judged by it."""
    contract = with_rule("line_number < quantity")
    rows = [f"{ROW},1", f"{ROW},", f"{ROW},2", f"{ROW},x"]
    result = read(csv(*rows, header=HEADER + ",line_number"), contract=contract)
    assert result.codes == {3: "row.mine", 4: "type:line_number"}
    assert read(csv(ROW), contract=contract).summary.rows_accepted == 1


def test_a_row_that_breaks_the_arithmetic_costs_only_itself():
    """A division by zero in one row rejects that row and judges the others."""
    rows = [ROW, ROW.replace("1.50", "0"), ROW]
    assert read(csv(*rows), contract=with_rule("total_cost / price > 1")).codes == {2: "row.mine"}


def test_a_cent_of_rounding_is_allowed():
    """|total_cost − price × quantity| ≤ 0.01, at the limit and beyond, for amounts of any size."""
    rows = [ROW.replace("3.00", total) for total in ("2.99", "3.01", "2.98", "3.02")]
    rows += ["1,1,x,2026-01-01,1,9999999999999999.99,1,9999999999999999.98", "1,1,x,2026-01-01,1,9999999999999999.99,1,9999999999999999.97"]
    assert set(read(csv(*rows)).codes) == {3, 4, 6}


def test_missing_columns_that_may_be_filled():
    """`on_missing_column: fill_null` fills a missing column with NULL; a row still needs what may not be NULL."""
    contract = load_contracts()["stores"].model_copy(update={"on_missing_column": "fill_null"})
    result = read("id,address\n1,Here\n", contract=contract)
    assert result.codes == {} if contract.columns["store_manager_name"].may_be_null else {1: "null:store_manager_name"}
    assert read(csv(ROW[:-5], header=HEADER[:-11]), contract=SALES.model_copy(update={"on_missing_column": "fill_null"})).codes == {
        1: "null:total_cost"
    }


def test_dates_before_and_after_leap_days():
    """29 February is a day in leap years only."""
    rows = [ROW.replace("2026-03-01", day) for day in ("2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29")]
    result = read(csv(*rows))
    assert [row["sales_date"] for row in result.rows] == [date(2024, 2, 29), date(2000, 2, 29)]


def test_every_code_explains_itself():
    """Each code has a sentence that says what it means and what to do, the contract's own rules too."""
    for code in (*(f"{kind}:price" for kind in COLUMN_CODES), *ROW_CODES, *FILE_CODES):
        assert explain(code, SALES).count(". ") >= 1
        assert "{column}" not in explain(code)
    assert explain("row.total_mismatch", SALES).startswith("Total_cost is not price × quantity")
    with pytest.raises(KeyError):
        explain("row.unheard_of", SALES)
