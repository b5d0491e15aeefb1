"""What must hold for every file: each row accounted for once, good rows whole, blocks of any size alike."""

from __future__ import annotations

import json
import tracemalloc
from datetime import date, timedelta
from decimal import Decimal

import hypothesis.strategies as st
import pyarrow as pa
from hypothesis import HealthCheck, given, settings

from salesmart_assets.ingest.kernel import FileReader
from salesmart_assets_tests.ingest.reading import HEADER, ROW, SALES, csv, read, zipped

NAMES = HEADER.split(",")
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)) | st.sampled_from('",\n\r; é'),
    min_size=1,
    max_size=12,
)
# A line inside a text that has the width of a row is taken for one; so few delimiters never make it.
QUOTABLE = TEXTS.filter(lambda text: text.count(",") + text.count(";") < 5)
ROWS = st.fixed_dictionaries(
    {
        "customer_id": st.integers(-(2**63), 2**63 - 1),
        "store_id": st.integers(0, 999),
        "product_name": QUOTABLE,
        "sales_date": st.dates(date(1678, 1, 1), date(2261, 12, 31)),
        "price": st.decimals(0, 10**9, places=2),
        "quantity": st.integers(1, 1000),
    }
)
BROKEN = st.sampled_from(
    [
        (b"1,2", "row.ragged"),
        (b"1,2,3,4,5,6,7,8,9,10,11", "row.ragged"),
        (b'1,121,"Tea,2026-03-01,7,1.50,2,3.00,', "row.quote"),
        (b'1,121,"Tea"!,2026-03-01,7,1.50,2,3.00,', "row.quote"),
        (b"1,121,T\xff,2026-03-01,7,1.50,2,3.00,", "row.encoding"),
        (b"1,121,T\0,2026-03-01,7,1.50,2,3.00,", "row.nul_byte"),
        (b"1,121,Tea,2026-03-01,7,1.5e0,2,3.00,", "type:price"),
        (b",,,,,,,,", ",".join(f"null:{name}" for name in NAMES)),
    ]
)


def complete(row):
    return row | {"sales_person_id": 7, "total_cost": row["price"] * row["quantity"]}


def quoted(text, *, always, delimiter):
    needs = always or any(sign in text for sign in f'{delimiter}"\n\r') or not text.strip()
    return '"' + text.replace('"', '""') + '"' if needs else text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(ROWS, max_size=8),
    order=st.permutations([*NAMES, "extra"]),
    broken=st.lists(st.tuples(st.integers(0, 8), BROKEN), max_size=4),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    always=st.booleans(),
    gzip=st.booleans(),
    block_bytes=st.integers(1, 400),
    last_end=st.booleans(),
)
def test_every_row_is_accounted_for_and_good_rows_come_out_whole(rows, order, broken, end, always, gzip, block_bytes, last_end):
    """Random rows in random dialects with random faults between them: every good row comes out exactly, every bad one with its code."""
    good = [complete(row) | {"extra": f"n{at}"} for at, row in enumerate(rows)]
    # Broken rows are written for the plain order; a column order of its own would give them other faults.
    order = [*NAMES, "extra"] if broken else order
    lines = [(",".join(quoted(str(row[name]), always=always, delimiter=",") for name in order).encode(), row, None) for row in good]
    for place, (text, codes) in broken:
        lines.insert(min(place, len(lines)), (text, None, codes))
    content = end.encode().join([",".join(order).encode(), *(text for text, _, _ in lines)]) + (end.encode() if last_end else b"")
    result = read(zipped(content) if gzip else content, block_bytes=block_bytes)
    expected = [row for _, row, _ in lines if row is not None]
    assert [{name: row[name] for name in NAMES} for row in result.rows] == [{name: row[name] for name in NAMES} for row in expected]
    assert [json.loads(row["additional_columns"])["extra"] for row in result.rows] == [row["extra"] for row in expected]
    assert result.codes == {number: codes for number, (_, _, codes) in enumerate(lines, 1) if codes}
    assert result == read(zipped(content) if gzip else content)


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from([ROW, '"', '""', ",", "\n", "\r", "\r\n", "x", " ", "\0", '"a\nb"', '1,121,"Tea,2026-03-01,7,1.50,2,3.00', "é"]),
        max_size=40,
    ),
    block_bytes=st.integers(1, 60),
)
def test_blocks_of_any_size_give_the_same(parts, block_bytes):
    """Where blocks are cut changes nothing, whatever the bytes; and no row that stands between line ends is lost to a fault before it."""
    content = csv() + "".join(parts).encode()
    result = read(content)
    assert result == read(content, block_bytes=block_bytes)


@settings(max_examples=200, deadline=None)
@given(
    content=st.binary(max_size=200),
    head=st.sampled_from([b"", HEADER.encode() + b"\n", b"\x1f\x8b\x08\0", b"PAR1", b'{"price":']),
    name=st.sampled_from(["a.csv", "a.jsonl"]),
)
def test_any_bytes_survive(content, head, name):
    """Any bytes end as loaded, rejected or empty, never as an error."""
    assert read(head + content, name).summary.outcome in ("loaded", "rejected", "empty")


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(ROWS, min_size=1, max_size=5),
    text=st.dictionaries(
        TEXTS.filter(lambda t: t.strip().lower() not in SALES.spellings()), st.none() | TEXTS | st.integers() | st.booleans(), max_size=3
    ),
)
def test_json_lines_come_out_whole(rows, text):
    """Random rows as JSON lines come out exactly, and so do their extra values."""
    good = [complete(row) for row in rows]
    written = "\n".join(
        json.dumps({**{k: str(v) if isinstance(v, (Decimal, date)) else v for k, v in row.items()}, **text}) for row in good
    )
    result = read(written, "a.jsonl", block_bytes=64)
    assert [{name: row[name] for name in NAMES} for row in result.rows] == [{name: row[name] for name in NAMES} for row in good]
    assert all((json.loads(row["additional_columns"]) if row["additional_columns"] else {}) == text for row in result.rows)


@settings(max_examples=200, deadline=None)
@given(
    value=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)
    | st.floats(allow_nan=True)
    | st.integers()
    | TEXTS
)
def test_nothing_is_silently_null_truncated_or_rounded(value):
    """Nothing is silently NULL, truncated or rounded: a price comes out equal to what was written, or its row is rejected."""
    text = str(value)
    cells = [
        quoted(text, always=False, delimiter=",") if name == "price" else cell for name, cell in zip(NAMES, ROW.split(","), strict=True)
    ]
    contract = SALES.model_copy(update={"rules": ()})
    result = read(csv(",".join(cells)), contract=contract)
    for row in result.rows:
        assert row["price"] == Decimal(text.strip(" \t"))
    if result.summary.rows_read == 1 and not result.rows:
        assert result.codes[1] in {"type:price", "scale:price", "range:price", "null:price", "min:price", "row.encoding", "row.nul_byte"}


def test_memory_is_bounded_by_the_block(tmp_path):
    """Memory follows the block and not the file."""
    path = tmp_path / "big"
    day = date(2026, 1, 1)
    rows = [f'{n},121,"Tea, {n % 50}",{day + timedelta(n % 90)},7,1.50,2,3.00' for n in range(20_000)]
    path.write_bytes(zipped(csv(*rows * 10)))
    peaks = []
    before = pa.total_allocated_bytes()
    for stop in (3, 10**9):
        tracemalloc.start()
        for number, batch in enumerate(FileReader(path, "big.csv.gz", SALES, block_bytes=1 << 18)):
            assert batch.accepted.nbytes < 1 << 20
            assert pa.total_allocated_bytes() - before < 16 << 20
            if number == stop:
                break
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5 + (1 << 20)
