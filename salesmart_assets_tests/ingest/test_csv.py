"""CSV: one bad row costs nobody but itself, whatever is wrong with it."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from salesmart_assets.contracts import load_contracts
from salesmart_assets.ingest.kernel import FileReader
from salesmart_assets_tests.ingest.reading import HEADER, ROW, SALES, csv, read, zipped

OPEN = '1,121,"Tea,2026-03-01,7,1.50,2,3.00'

BROKEN_ROWS = {
    "too few values": ("1,121,Tea", "row.ragged"),
    "too many values": (ROW + ",9", "row.ragged"),
    "an unclosed quote": (OPEN, "row.quote"),
    "text after a closing quote": ('1,121,"Tea"x,2026-03-01,7,1.50,2,3.00', "row.quote"),
    "the header once more": (
        HEADER,
        "type:customer_id,type:store_id,format:sales_date,type:sales_person_id,type:price,type:quantity,type:total_cost",
    ),
    "no values at all": (",,,,,,,", ",".join(f"null:{name}" for name in HEADER.split(","))),
    "an empty mandatory value": (ROW.replace("1.50", ""), "null:price"),
    "a quoted empty mandatory value": (ROW.replace("1.50", '""'), "null:price"),
    "blanks for a price": (ROW.replace("1.50", "  "), "null:price"),
    "an exponent": (ROW.replace("1.50", "1e3"), "type:price"),
    "a thousands separator": (ROW.replace("1.50", '"1,234.50"'), "type:price"),
    "Arabic digits": (ROW.replace("1.50", "١٢"), "type:price"),
    "NaN": (ROW.replace("1.50", "NaN"), "type:price"),
    "infinity": (ROW.replace("1.50", "inf"), "type:price"),
    "a currency sign": (ROW.replace("1.50", "€1.50"), "type:price"),
    "digits that the price cannot keep": (ROW.replace("1.50", "1.505"), "scale:price"),
    "a price too large": (ROW.replace("1.50", "1" + "0" * 16), "range:price"),
    "half a unit": (ROW.replace(",2,", ",2.5,"), "scale:quantity"),
    "a quantity too large": (ROW.replace(",2,", ",9223372036854775808,"), "range:quantity"),
    "text for a number": (ROW.replace(",2,", ",two,"), "type:quantity"),
    "an impossible date": (ROW.replace("2026-03-01", "2026-02-30"), "format:sales_date"),
    "another date format": (ROW.replace("2026-03-01", "01/03/2026"), "format:sales_date"),
    "a negative price": (ROW.replace("1.50", "-1.50"), "min:price,row.total_mismatch"),
    "nothing sold": ("1,121,Tea,2026-03-01,7,1.50,0,0.00", "min:quantity"),
    "a wrong total": (ROW.replace("3.00", "3.02"), "row.total_mismatch"),
    "two faults": ("x,121,Tea,2026-13-01,7,1.50,2,3.00", "type:customer_id,format:sales_date"),
}


@pytest.mark.parametrize(("row", "codes"), BROKEN_ROWS.values(), ids=BROKEN_ROWS)
@pytest.mark.parametrize("block_bytes", [7, 1 << 20])
def test_one_bad_row_never_costs_a_good_one(row, codes, block_bytes):
    """One bad row never costs a good one; it is kept with raw text, row number and all of its codes."""
    result = read(csv(ROW, row, ROW, '1,121,"Tea, green",2026-03-01,7,1.50,2,3.00'), block_bytes=block_bytes)
    assert result.rejections == [(2, codes, row)]
    assert result.accepted_rows == [1, 3, 4]
    assert result.rows[2]["product_name"] == "Tea, green"


@pytest.mark.parametrize(
    ("bad", "codes", "raw"),
    [
        (b"1,121,T\xe9a,2026-03-01,7,1.50,2,3.00", "row.encoding", r"1,121,T\xe9a,2026-03-01,7,1.50,2,3.00"),
        (b"1,121,T\0a,2026-03-01,7,1.50,2,3.00", "row.nul_byte", r"1,121,T\x00a,2026-03-01,7,1.50,2,3.00"),
        (b"\0\xff", "row.ragged,row.nul_byte,row.encoding", r"\x00\xff"),
        (b'1,121,"T\xe9\na",2026-03-01,7,1.50,2,3.00', "row.encoding", '1,121,"T\\xe9\na",2026-03-01,7,1.50,2,3.00'),
    ],
)
def test_bytes_that_are_no_text_cost_their_row(bad, codes, raw):
    """A row that is not UTF-8, or holds a NUL byte, is rejected and shown with its bytes escaped."""
    good = "1,121,Tée,2026-03-01,7,1.50,2,3.00"
    result = read(csv(good) + bad + b"\n" + good.encode() + b"\n")
    assert result.rejections == [(2, codes, raw)]
    assert [row["product_name"] for row in result.rows] == ["Tée", "Tée"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block_bytes", [1, 5, 1 << 20])
def test_every_line_end_and_blank_lines(end, block_bytes):
    """LF, CRLF and CR end lines, a quoted value keeps its own, and blank lines are no rows."""
    text = f"{end}{HEADER}{end}{end}{ROW}{end}  {end}{ROW.replace('Tea', f'{chr(34)}a{end}b{chr(34)}')}{end}{end}{ROW}"
    result = read(text, block_bytes=block_bytes)
    assert [row["product_name"] for row in result.rows] == ["Tea", f"a{end}b", "Tea"]
    assert result.summary.rows_read == 3


def test_mixed_line_ends():
    """A file put together from parts with different line ends loses nothing."""
    assert read(f"{HEADER}\r\n{ROW}\n{ROW}\r{ROW}\r\n\r\n{ROW}").summary.rows_accepted == 4


def test_a_byte_order_mark_is_no_part_of_the_first_name():
    """A byte order mark is no part of the first name."""
    assert read(b"\xef\xbb\xbf" + csv(ROW)).summary.header[0] == "customer_id"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(encoding):
    """Text in UTF-16 or UTF-32 with a byte order mark is read, in blocks of any size."""
    text = csv(ROW.replace("Tea", "Té☕")).decode().encode(encoding)
    assert read(text, block_bytes=3).rows[0]["product_name"] == "Té☕"


def test_utf_16_without_a_mark_is_named():
    """UTF-16 without a byte order mark rejects the file, and the reason says so."""
    summary = read(csv(ROW).decode().encode("utf-16-le")).summary
    assert summary.reason is not None
    assert summary.reason.startswith("file.encoding: ")
    assert "UTF-16" in summary.reason


def test_a_declared_encoding_is_used():
    """With `encoding` in the contract the bytes are read in it; bytes without a meaning in it cost their row alone."""
    contract = SALES.model_copy(update={"encoding": "cp1252"})
    rows = [ROW.replace("Tea", "Caf\xe9").encode("cp1252"), ROW.encode().replace(b"Tea", b"\x81"), ROW.encode()]
    result = read(b"\n".join([HEADER.encode(), *rows]), contract=contract)
    assert [row["product_name"] for row in result.rows] == ["Café", "Tea"]
    assert result.rejections == [(2, "row.encoding", ROW.replace("Tea", "\\x81"))]


def test_an_unclosed_quote_costs_only_its_own_line():
    """An unclosed quote costs only its own line, however many follow, and wherever the next quote is."""
    rows = [ROW, OPEN, *[ROW] * 30, OPEN, ROW, OPEN, OPEN, '1,121,"two\nlines",2026-03-01,7,1.50,2,3.00', OPEN]
    for block_bytes in (1, 100, 1 << 20):
        result = read(csv(*rows), block_bytes=block_bytes)
        assert result.codes == dict.fromkeys((2, 33, 35, 36, 38), "row.quote")
        assert result.rows[-1]["product_name"] == "two\nlines"


def test_an_unclosed_quote_before_a_long_tail():
    """An unclosed quote whose partner would be a megabyte away, or nowhere, swallows nothing."""
    ragged = "no row at all " * 40
    result = read(csv(OPEN, *[ragged] * 2_000, ROW, '1,121,Tea,2026-03-01,7,1.50,2,"3.00"'), block_bytes=1 << 16)
    assert result.codes[1] == "row.quote"
    assert set(result.codes.values()) == {"row.quote", "row.ragged"}
    assert result.accepted_rows == [2_002, 2_003]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('"a ""b"" c"', 'a "b" c'),
        ('TV 5"', 'TV 5"'),
        ('a "b" c', 'a "b" c'),
        ('"a, b"', "a, b"),
        ('""""', '"'),
        ('"first\n\nthird, ""x"""', 'first\n\nthird, "x"'),
        ('"\n"', "\n"),
        ("  padded ", "  padded "),
        ("NULL", "NULL"),
    ],
)
def test_texts_come_out_as_they_went_in(cell, value):
    """Quotes, delimiters and line ends inside a quoted text, and blanks around a text, are part of it."""
    for name in ("product_name", "transaction_id"):
        # As a middle and as the first column.
        header = f"{name}," + ",".join(n for n in HEADER.split(",") if n != name)
        rest = [v for n, v in zip(HEADER.split(","), ROW.split(","), strict=True) if n != name]
        for block_bytes in (3, 1 << 20):
            result = read(csv(",".join([cell, *rest]), ",".join(["x", *rest]), header=header), block_bytes=block_bytes)
            assert [row[name] for row in result.rows] == [value, "x"]


def test_numbers_may_have_blanks_signs_and_zeros():
    """Blanks around numbers and dates, a plus, leading zeros, and zeros that need not be kept change nothing."""
    result = read(csv(" 1 ,+121,Tea,\t2026-03-01 ,007,01.5000,2.0,+3", header=f" {HEADER.upper()} "))
    row = result.rows[0]
    assert (row["customer_id"], row["store_id"], row["sales_person_id"], row["quantity"]) == (1, 121, 7, 2)
    assert (row["price"], row["total_cost"], row["sales_date"]) == (Decimal("1.50"), Decimal("3.00"), date(2026, 3, 1))


def test_a_line_too_long_for_a_row_is_one_rejection():
    """A line longer than any row costs itself; only its beginning is kept."""
    long = "x" * (9 << 20)
    for block_bytes in (1 << 16, 32 << 20):
        result = read(csv(ROW, long, ROW), block_bytes=block_bytes)
        assert result.rejections == [(2, "row.too_long", "x" * 4096)]
        assert result.accepted_rows == [1, 3]


def test_extra_columns_are_kept_by_name_as_json():
    """Any other column is kept, by name, as JSON in `additional_columns`: never dropped, never merged namelessly."""
    header = f'weather,{HEADER},"a ""b""",'
    result = read(csv(f'sunny,{ROW},"x, ""y""",', f",{ROW},,z", header=header))
    kept = [json.loads(row["additional_columns"]) for row in result.rows]
    assert kept == [
        {"weather": "sunny", 'a "b"': 'x, "y"', "column_11": None},
        {"weather": None, 'a "b"': None, "column_11": "z"},
    ]
    assert result.summary.header == ("weather", *HEADER.split(","), 'a "b"', "column_11")


def test_columns_are_found_by_name():
    """Columns are matched by name, in any order and case, with the contract's aliases."""
    header = "TOTAL_COST,Till_Id,invoice_no,quantity,price,sales_person_id,sales_date,product_name,store_id,customer_id"
    row = read(csv("3.00,T1,R9,2,1.50,7,2026-03-01,Tea,121,1", header=header)).rows[0]
    assert (row["pos_id"], row["transaction_id"], row["customer_id"], row["additional_columns"]) == ("T1", "R9", 1, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            csv(ROW.replace(",1.50", ""), header=HEADER.replace(",price", "")),
            "file.missing_column: the mandatory column price is missing; header has: ",
        ),
        (csv(ROW), None),
        (csv(ROW + ",1", header=HEADER + ",Price"), "file.duplicate_column: price (column 6) and Price (column 9) are the same column"),
        (csv(ROW + ",1,2", header=HEADER + ",x,x"), "file.duplicate_column: x (column 9) and x (column 10)"),
        (csv(ROW.replace(",", ";"), header=HEADER.replace(",", ";")), "file.delimiter: the names in the header are separated by semicolon"),
        (csv(ROW.replace(",", "\t"), header=HEADER.replace(",", "\t")), "file.delimiter: the names in the header are separated by tab"),
        (csv(ROW, header='"' + HEADER), "file.header: "),
        (csv(ROW, header="\xff".encode("latin-1").decode("latin-1")), "file.missing_column: "),
        (HEADER.encode() + b",\xff\n", "file.encoding: "),
        (b"PK\x03\x04" + bytes(100), "file.unreadable: the content is a zip archive"),
        (bytes(100), "file.encoding: "),
        (b"\xde\xad\xbe\xef" * 100, "file.encoding: "),
    ],
)
def test_a_file_that_is_no_use_is_rejected_whole_with_a_reason(content, reason):
    """A file that cannot be used is rejected whole, with a code and a sentence."""
    summary = read(content).summary
    if reason is None:
        assert summary.outcome == "loaded"
    else:
        assert summary.outcome == "rejected"
        assert summary.reason is not None
        assert summary.reason.startswith(reason)


def test_a_reason_never_repeats_a_row():
    """A file without a header shows its first row where names should be; neither the reason nor the summary repeats it."""
    summary = read("4711,Ada,Lovelace,12 Secret Lane,12345,0555-1234,2026-01-01\n", contract=load_contracts()["customers"]).summary
    assert "Lovelace" not in repr(summary)
    assert "is the header missing?" in (summary.reason or "")


@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n", csv(), HEADER.encode(), b"\xef\xbb\xbf", zipped(b""), zipped(csv())])
def test_nothing_or_only_a_header_is_empty(content):
    """A file with nothing in it, or only a header, is empty, which is no fault."""
    summary = read(content).summary
    assert (summary.outcome, summary.reason, summary.rows_read) == ("empty", None, 0)


def test_gzip_is_told_by_content_and_may_have_members():
    """Gzip is told by the content, whatever the name, and may consist of several members."""
    content = zipped(csv(ROW)) + zipped(csv(ROW, header=ROW))
    for name in ("a.csv", "a.csv.gz", "a"):
        result = read(content, name, block_bytes=50)
        assert (result.summary.format, result.summary.rows_accepted) == ("csv.gz", 3)


@pytest.mark.parametrize("block_bytes", [50_000, 8 << 20])
def test_a_gzip_stream_that_breaks_off_rejects_the_file(block_bytes):
    """A truncated or damaged gzip stream rejects the file whole, also when that is known only at its end."""
    rows = [ROW.replace("1,121", f"{i},121") for i in range(40_000)]
    content = zipped(csv(*rows))
    cut = read(content[: len(content) * 2 // 3], block_bytes=block_bytes).summary
    assert cut.outcome == "rejected"
    assert (cut.reason or "").startswith("file.truncated: ")
    assert cut.rows_read == cut.rows_rejected
    damaged = bytearray(content)
    damaged[-6] ^= 1
    assert (read(bytes(damaged), block_bytes=block_bytes).summary.reason or "").startswith("file.unreadable: ")
    assert (read(zipped(content), block_bytes=block_bytes).summary.reason or "").startswith("file.unreadable: gzip inside gzip")


def test_too_many_rejections_reject_the_file():
    """Too many bad rows in a file reject it whole: over the limit, not at it."""
    content = csv(ROW, "x", ROW, ROW)
    at, under = (SALES.model_copy(update={"max_rejected_ratio": ratio}) for ratio in (0.25, 0.24))
    assert read(content, contract=at).summary.outcome == "loaded"
    over = read(content, contract=under).summary
    assert (over.outcome, over.rows_read, over.rows_rejected) == ("rejected", 4, 4)
    assert (over.reason or "").startswith("file.too_many_rejections: 1 of 4 rows")


def test_all_rows_may_be_rejected():
    """A file of bad rows only is loaded, with every row among the rejections, unless the contract sets a limit."""
    summary = read(csv("x", "y")).summary
    assert (summary.outcome, summary.rows_accepted, summary.rows_rejected) == ("loaded", 0, 2)


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_other_delimiters_and_decimal_signs(delimiter, name):
    """The contract's delimiter and decimal sign are used; the other decimal sign is then no number."""
    contract = SALES.model_copy(update={"delimiter": delimiter, "decimal_sign": ","})
    row = ROW.replace(",", delimiter)
    result = read(csv(row.replace(".", ","), row, header=HEADER.replace(",", delimiter)), f"{name}.csv", contract)
    assert result.rows[0]["price"] == Decimal("1.50")
    assert result.codes == {2: "type:price,type:total_cost"}


def test_the_summary_is_there_at_the_end_and_every_iteration_begins_anew(tmp_path):
    """The summary cannot be asked for too early, and reading twice gives the same."""
    path = tmp_path / "x"
    path.write_bytes(csv(ROW))
    reader = FileReader(path, "x.csv", SALES)
    with pytest.raises(RuntimeError, match=r"x\.csv"):
        _ = reader.summary
    assert [b.accepted for b in reader] == [b.accepted for b in reader]
    assert reader.summary.rows_read == 1
