"""Parquet: other types of the same meaning go through whole, what does not fit is rejected row by row."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from salesmart_assets.contracts import Contract
from salesmart_assets_tests.ingest.reading import SALES, Outcome, read

DAY = date(2026, 3, 1)


def good(rows: int = 2) -> dict[str, Any]:
    return {
        "customer_id": pa.array([1] * rows, pa.int64()),
        "store_id": pa.array([121] * rows, pa.int64()),
        "product_name": pa.array(["Tea"] * rows),
        "sales_date": pa.array([DAY] * rows, pa.date32()),
        "sales_person_id": pa.array([7] * rows, pa.int64()),
        "price": pa.array([Decimal("1.50")] * rows, pa.decimal128(18, 2)),
        "quantity": pa.array([2] * rows, pa.int64()),
        "total_cost": pa.array([Decimal("3.00")] * rows, pa.decimal128(18, 2)),
    }


@pytest.fixture
def parquet(tmp_path):
    def run(contract: Contract = SALES, *, block_bytes: int = 8 << 20, **changes: Any) -> Outcome:
        columns = good(next((len(array) for array in changes.values() if array is not None), 2)) | changes
        path = tmp_path / "file"
        pq.write_table(pa.table({name: column for name, column in columns.items() if column is not None}), path)
        return read(path, "a.parquet", contract, block_bytes=block_bytes)

    return run


@pytest.mark.parametrize(
    ("column", "array", "values"),
    [
        *[("quantity", pa.array([2, 2], kind), [2, 2]) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint64())],
        ("quantity", pa.array([2.0, 2.0]), [2, 2]),
        ("quantity", pa.array(["2", " 2 "]), [2, 2]),
        ("quantity", pa.array([Decimal("2.00")] * 2), [2, 2]),
        ("price", pa.array([1.5, 1.5], pa.float64()), [Decimal("1.50")] * 2),
        ("price", pa.array([1.5, 1.5], pa.float32()), [Decimal("1.50")] * 2),
        ("price", pa.array(np.array([1.5, 1.5], np.float16)), [Decimal("1.50")] * 2),
        ("price", pa.array([Decimal("1.50000")] * 2, pa.decimal256(40, 5)), [Decimal("1.50")] * 2),
        ("price", pa.array([Decimal("1.5")] * 2, pa.decimal128(5, 1)), [Decimal("1.50")] * 2),
        ("price", pa.array(["1.50"] * 2).dictionary_encode(), [Decimal("1.50")] * 2),
        ("sales_date", pa.array([datetime(2026, 3, 1)] * 2, pa.timestamp("ns")), [DAY] * 2),
        ("sales_date", pa.array([datetime(2026, 3, 1, tzinfo=timezone.utc)] * 2, pa.timestamp("ms", "UTC")), [DAY] * 2),
        ("sales_date", pa.array([datetime(2026, 2, 28, 23, tzinfo=timezone.utc)] * 2, pa.timestamp("us", "Europe/Paris")), [DAY] * 2),
        ("sales_date", pa.array([DAY] * 2, pa.date64()), [DAY] * 2),
        ("sales_date", pa.array(["2026-03-01"] * 2), [DAY] * 2),
        ("product_name", pa.array(["Tea", "Té"], pa.large_string()), ["Tea", "Té"]),
        ("product_name", pa.array([b"Tea", "Té".encode()]), ["Tea", "Té"]),
        ("product_name", pa.array([17, 18]), ["17", "18"]),
        ("product_name", pa.array(["Tea", "Té"]).dictionary_encode(), ["Tea", "Té"]),
        ("product_name", pa.array([Decimal("1.50")] * 2), ["1.50"] * 2),
        ("product_name", pa.array([DAY] * 2), ["2026-03-01"] * 2),
        ("transaction_id", pa.nulls(2), [None, None]),
        ("transaction_id", pa.array(["", "x"]), [None, "x"]),
    ],
)
def test_types_of_the_same_meaning_go_through(parquet, column, array, values):
    """Widened, narrowed and differently typed columns of the same meaning go through without losing a digit."""
    result = parquet(**{column: array})
    assert result.rejections == []
    assert [row[column] for row in result.rows] == values


@pytest.mark.parametrize(
    ("column", "array", "codes"),
    [
        ("quantity", pa.array([2, 2**63], pa.uint64()), "range:quantity"),
        ("quantity", pa.array([2.0, 2.5]), "scale:quantity"),
        ("quantity", pa.array([2.0, float("nan")]), "type:quantity"),
        ("quantity", pa.array([2.0, float("inf")]), "type:quantity"),
        ("quantity", pa.array([2, None]), "null:quantity"),
        ("price", pa.array([1.5, 0.1 + 0.2]), "scale:price"),
        ("price", pa.array([1.5, 1e30]), "range:price"),
        ("price", pa.array([1.5, 1e-7]), "scale:price"),
        ("price", pa.array([Decimal("1.500"), Decimal("1.505")]), "scale:price"),
        ("price", pa.array([[1.5], None]), None),
        ("sales_date", pa.array([datetime(2026, 3, 1), datetime(2026, 3, 1, 12)]), "format:sales_date"),
        ("sales_date", pa.array([20513, 9_000_000], pa.int32()).cast(pa.date32()), "range:sales_date"),
        ("sales_date", pa.array(["2026-03-01", "2026-02-30"]), "format:sales_date"),
        ("product_name", pa.array([b"Tea", b"T\xe9a"]), "row.encoding"),
        ("product_name", pa.array([b"Tea", b"T\xe9a"]).view(pa.string()), "row.encoding"),
        ("product_name", pa.array(["Tea", "T\0"]), "row.nul_byte"),
        ("product_name", pa.array(["Tea", ""]), "null:product_name"),
    ],
)
def test_a_value_that_does_not_fit_costs_its_row(parquet, column, array, codes):
    """What can't be represented is rejected row by row, with the row as JSON."""
    result = parquet(**{column: array})
    if codes is None:
        assert result.codes == {1: f"type:{column}", 2: f"null:{column}"}
        return
    assert result.codes == {2: codes}
    assert result.accepted_rows == [1]
    assert json.loads(result.rejections[0][2])["customer_id"] == 1


def test_extra_columns_are_kept_as_json(parquet):
    """Extra columns of any type are kept by name, decimals with their digits."""
    extra = {
        "a": pa.array([Decimal("1.10"), None]),
        "b": pa.array([{"x": [1, 2]}, None]),
        "c": pa.array([float("nan"), 0.5]),
        "d": pa.array([datetime(2026, 3, 1, 12), None]),
        "e": pa.array([b"\xff", None]),
    }
    first, second = (row["additional_columns"] for row in parquet(**extra).rows)
    assert first == '{"a":1.10,"b":{"x":[1,2]},"c":"nan","d":"2026-03-01T12:00:00","e":"\\\\xff"}'
    assert json.loads(second) == {"a": None, "b": None, "c": 0.5, "d": None, "e": None}


_LATE = 2**62
_UNKNOWN = pa.timestamp("us", "Mars/Phobos")
_PARTS = pa.struct([("a", pa.timestamp("us")), ("b", pa.string())])


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array([5, None], _UNKNOWN), ["1970-01-01T00:00:00.000005+00:00", None]),
        (pa.array([[5, None], None], pa.list_(_UNKNOWN)), [["1970-01-01T00:00:00.000005+00:00", None], None]),
        (pa.array([{"a": _LATE, "b": "é"}, None], _PARTS), [{"a": f"<value out of range: {_LATE}>", "b": "é"}, None]),
        (pa.array([[("k", _LATE)], None], pa.map_(pa.string(), pa.timestamp("us"))), [[["k", f"<value out of range: {_LATE}>"]], None]),
        (pa.array([[b"T\xe9"], [None]]).view(pa.list_(pa.string())), [["T\\xe9"], [None]]),
        (
            pa.StructArray.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["a", "a"]),
            [[["a", 1], ["a", 3]], [["a", 2], ["a", 4]]],
        ),
    ],
)
def test_what_python_has_no_value_for_is_shown_as_text(parquet, array, values):
    """Unknown time zones, years beyond the calendar and broken text, however deep in a column, stop neither a file nor its rows."""
    result = parquet(note=array)
    assert [json.loads(row["additional_columns"])["note"] for row in result.rows] == values
    # In a column that wants a number, each costs its row, which is shown with it.
    if pa.types.is_nested(array.type):
        assert [json.loads(raw)["price"] for _, _, raw in parquet(price=array).rejections] == values


def test_batches_of_any_size_give_the_same(parquet):
    """The size of the blocks changes no row number and no row."""
    array = pa.array(["Tea", "", "Tea", None, b"\xff".decode("latin-1")] * 50)
    small, large = (parquet(product_name=array, block_bytes=size) for size in (1, 8 << 20))
    assert small == large


def test_policies_hold_for_parquet(parquet):
    """Missing, extra and doubled columns follow the contract as in CSV."""
    assert (parquet(price=None).summary.reason or "").startswith("file.missing_column: the mandatory column price")
    assert (parquet(Price=pa.array([1, 1])).summary.reason or "").startswith("file.duplicate_column")
    refused = parquet(SALES.model_copy(update={"on_extra_column": "reject_file"}), x=pa.array([1, 1])).summary
    assert (refused.reason, refused.rows_read, refused.rows_rejected) == ("file.extra_column: the contract does not name x", 2, 2)


def test_no_rows_is_empty(parquet):
    """A Parquet file without rows is empty."""
    assert parquet(price=pa.array([], pa.float64())).summary.outcome == "empty"


def test_damaged_files_are_rejected_whole(tmp_path):
    """A Parquet file that is cut short, damaged or inside gzip is rejected with a reason."""
    path = tmp_path / "x"
    pq.write_table(pa.table(good(5000)), path, compression="none", use_dictionary=False)
    content = path.read_bytes()
    assert (read(content[:-100]).summary.reason or "").startswith("file.truncated: ")
    assert (read(b"PAR1").summary.reason or "").startswith("file.truncated: ")
    assert (read(content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :]).summary.reason or "").startswith(
        "file.unreadable: "
    )
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    assert (read(content[:footer] + bytes(40) + content[footer + 40 :]).summary.reason or "").startswith("file.unreadable: ")
    assert read(content, "a.csv").summary.format == "parquet"
