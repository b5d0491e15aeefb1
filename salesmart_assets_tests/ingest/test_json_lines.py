"""JSON lines: the digits in the file are the digits in the table."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from salesmart_assets.contracts import load_contracts
from salesmart_assets_tests.ingest.reading import SALES, read, zipped

GOOD = (
    '{"customer_id":1,"store_id":121,"product_name":"Tea","sales_date":"2026-03-01",'
    '"sales_person_id":7,"price":1.50,"quantity":2,"total_cost":3.00}'
)


def line(**changes: str) -> str:
    """`GOOD` with other JSON texts for some values; an empty text leaves the name out."""
    values = {name: json.dumps(value) for name, value in json.loads(GOOD).items()} | {"price": "1.50", "total_cost": "3.00"} | changes
    return "{" + ",".join(f'"{name}":{text}' for name, text in values.items() if text) + "}"


@pytest.mark.parametrize(
    ("bad", "codes"),
    [
        ("not json", "row.json"),
        (GOOD[:-1], "row.json"),
        (GOOD + GOOD, "row.json"),
        ("[1]", "row.json"),
        ("7", "row.json"),
        (line(price="NaN"), "row.json"),
        (line(customer_id='1,"customer_id":2'), "row.json"),
        (line(customer_id='1,"ID":2,"Customer_ID":3'), "row.json"),
        (line(extra='{"a":1,"a":2}'), "row.json"),
        ("[" * 100_000, "row.json"),
        (line(product_name=r'"\ud800"'), "row.encoding"),
        (line(product_name=r'"\u0000"'), "row.nul_byte"),
        (line(price="[1.5]"), "type:price"),
        (line(product_name='{"en":"Tea"}'), "type:product_name"),
        (line(price="1e3"), "type:price"),
        (line(price="true"), "type:price"),
        (line(price="1.505"), "scale:price"),
        (line(price="null"), "null:price"),
        (line(price=""), "null:price"),
        (line(product_name='""'), "null:product_name"),
        (line(quantity="2.5"), "scale:quantity"),
        (line(quantity="1" + "0" * 5000), "range:quantity"),
        (line(sales_date="20260301"), "format:sales_date"),
    ],
)
def test_one_bad_line_never_costs_a_good_one(bad, codes):
    """One bad line never costs a good one, and keeps its text."""
    for block_bytes in (50, 1 << 20):
        result = read(f"{GOOD}\n\n{bad}\r\n{GOOD}", "a.jsonl", block_bytes=block_bytes)
        assert result.rejections == [(2, codes, bad)]
        assert result.accepted_rows == [1, 3]


def test_bytes_that_are_no_text_cost_their_line():
    """A line that is not UTF-8 is rejected and shown with its bytes escaped."""
    result = read(GOOD.encode() + b'\n{"a":"\xff"}\n' + GOOD.encode(), "a.jsonl")
    assert result.rejections == [(2, "row.encoding", r'{"a":"\xff"}')]


def test_decimals_stay_exact():
    """A decimal is taken from its digits, also where a float could not hold it, and a number may be given as text."""
    row = read(line(price="90071992547409.93", quantity='"1"', total_cost="90071992547409.930"), "a.jsonl").rows[0]
    assert (row["price"], row["total_cost"], row["quantity"]) == (Decimal("90071992547409.93"), Decimal("90071992547409.93"), 1)


def test_a_number_or_truth_value_for_a_text_is_its_json_text():
    """A number or truth value given for a text column is accepted as it is written."""
    result = read("\n".join([line(transaction_id="0012.50"), line(transaction_id="12.50"), line(transaction_id="true")]), "a.jsonl")
    assert [row["transaction_id"] for row in result.rows] == ["12.50", "true"]
    assert result.codes == {1: "row.json"}


def test_extra_values_are_kept_as_they_are():
    """Extra names, nested ones too, are kept as JSON with their digits."""
    rows = read("\n".join([line(a="1.10", b='{"c":[1,{"d":null}],"é":"\\u00e9"}'), GOOD, line(e="1e400")]), "a.jsonl").rows
    assert [row["additional_columns"] for row in rows] == ['{"a":1.10,"b":{"c":[1,{"d":null}],"é":"é"}}', None, '{"e":1e400}']


def test_names_are_matched_as_in_csv():
    """Names match in any order and case, with the contract's aliases, and may differ from line to line."""
    result = read("\n".join([line(invoice_no='"R1"'), line(Receipt_ID='"R2"')]), "a.jsonl")
    assert [row["transaction_id"] for row in result.rows] == ["R1", "R2"]
    assert result.summary.header[-2:] == ("invoice_no", "Receipt_ID")


def test_a_column_that_no_line_has_rejects_the_file():
    """A mandatory column that no line has rejects the file, or is filled with NULL where the contract says so."""
    customer = '{"id":1,"first_name":"A","last_name":"B","pincode":"1","phone_number":"2","customer_joining_date":null}'
    contract = load_contracts()["customers"]
    summary = read(customer, "a.jsonl", contract).summary
    assert (summary.reason or "").startswith("file.missing_column: the mandatory column address is missing")
    filled = read(customer, "a.jsonl", contract.model_copy(update={"on_missing_column": "fill_null"}))
    assert filled.rows[0]["address"] is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" + GOOD + "]", "file.unreadable: a JSON array"),
        ("[\n" + GOOD + "\n]", "file.unreadable: a JSON array"),
        (json.dumps(json.loads(GOOD), indent=2), "file.unreadable: no line is a whole JSON object"),
    ],
)
def test_other_json_is_named(content, reason):
    """A JSON array, or an object over many lines, is rejected with a reason that says how to deliver it."""
    summary = read(content, "a.json").summary
    assert (summary.format, summary.outcome) == ("json" if "no line" in reason else summary.format, "rejected")
    assert (summary.reason or "").startswith(reason)


def test_the_content_decides_where_the_name_lies():
    """A file is read as what it is, whatever its name says."""
    for name in ("a.csv", "a.parquet", "a", "a.jsonl"):
        assert read(GOOD, name).summary.format == "json"
        assert read(zipped(GOOD.encode()), name).summary.format == "json.gz"
    assert read("broken\n" + GOOD, "a.jsonl").codes == {1: "row.json"}


def test_policies_on_extra_columns():
    """Extra columns are kept, dropped, or reject the file, by contract."""
    drop = read(line(x="1"), "a.jsonl", SALES.model_copy(update={"on_extra_column": "drop"}))
    assert drop.rows[0]["additional_columns"] is None
    refuse = read(line(x="1"), "a.jsonl", SALES.model_copy(update={"on_extra_column": "reject_file"})).summary
    assert refuse.reason == "file.extra_column: the contract does not name x"


def test_the_decimal_sign_of_the_contract_is_for_texts():
    """JSON numbers have a point, whatever decimal sign the contract declares for texts."""
    contract = SALES.model_copy(update={"decimal_sign": ","})
    assert read("\n".join([line(), line(price='"1,50"')]), "a.jsonl", contract).summary.rows_accepted == 2


@pytest.mark.parametrize("content", [b"", b"\n \n", zipped(b"")])
def test_nothing_is_empty(content):
    """A file without a line is empty."""
    assert read(content, "a.jsonl").summary.outcome == "empty"
