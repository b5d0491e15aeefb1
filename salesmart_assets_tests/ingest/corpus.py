"""Broken files, odd files and files that only look broken, each with what must become of it.

`python -m salesmart_assets_tests.ingest.corpus` writes the table of docs/ingestion.md anew. Belongs here: the files.
Does not belong here: how they are tested (`test_corpus.py`), and the fuzzer that begins with them.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pqe

from salesmart_assets.contracts import Contract, load_contracts

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "ingestion.md"
SALES = load_contracts()["sales"]
GOOD: Mapping[str, str] = {
    "customer_id": "1",
    "store_id": "121",
    "product_name": "Tea",
    "sales_date": "2026-03-01",
    "sales_person_id": "7",
    "price": "1.50",
    "quantity": "2",
    "total_cost": "3.00",
}
NAMES = tuple(GOOD)
HEADER = ",".join(NAMES)
OPEN = '1,121,"Tea,2026-03-01,7,1.50,2,3.00'


@dataclass(frozen=True)
class Case:
    """A file by its `content` and its object's `name`, the `changes` to the contract of sales, and what must become of it.

    `accepted`: the numbers of the accepted rows. `rejected`: the codes of each rejected row. `code`: of a rejected file.
    `values`: what a column of the accepted rows must hold. `shown`: how the documentation shows it, if not by its title.
    """

    group: str
    title: str
    content: bytes
    outcome: str = "loaded"
    accepted: Sequence[int] = ()
    rejected: Mapping[int, str] = field(default_factory=dict)
    read: int | None = None
    code: str | None = None
    name: str = "sales.csv"
    changes: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def rows_read(self) -> int:
        return len(self.accepted) + len(self.rejected) if self.read is None else self.read

    @property
    def contract(self) -> Contract:
        return contract_with(self.changes)


def contract_with(changes: Mapping[str, Any]) -> Contract:
    """The contract of sales with changes to it, and under `columns` to its columns; rules go where a change would break them."""
    document = SALES.model_dump(exclude_unset=True)
    columns = {name: {**column, **changes.get("columns", {}).get(name, {})} for name, column in document["columns"].items()}
    added = {name: item for name, item in changes.get("columns", {}).items() if name not in columns}
    return Contract.model_validate({**document, **changes, "columns": {**columns, **added}})


def line(delimiter: str = ",", **changes: str) -> str:
    """A row of CSV, good but for the changes, which are taken as they are written."""
    return delimiter.join({**GOOD, **changes}.values())


def csv(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    return "".join(f"{row}{end}" for row in (header, *rows)).encode()


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def record(**changes: Any) -> dict[str, Any]:
    """A row of JSON, good but for the changes."""
    good = {"customer_id": 1, "store_id": 121, "product_name": "Tea", "sales_date": "2026-03-01", "sales_person_id": 7}
    return {**good, "price": 1.5, "quantity": 2, "total_cost": 3, **changes}


def jsonl(*rows: Any) -> bytes:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows).encode()


def table(rows: int = 1, **changes: pa.Array) -> pa.Table:
    """A table of good rows, but for the changes; a column that is None is left out."""
    good = {
        "customer_id": pa.array([1] * rows, pa.int64()),
        "store_id": pa.array([121] * rows, pa.int64()),
        "product_name": pa.array(["Tea"] * rows),
        "sales_date": pa.array([date(2026, 3, 1)] * rows),
        "sales_person_id": pa.array([7] * rows, pa.int64()),
        "price": pa.array([Decimal("1.50")] * rows, pa.decimal128(18, 2)),
        "quantity": pa.array([2] * rows, pa.int64()),
        "total_cost": pa.array([Decimal("3.00")] * rows, pa.decimal128(18, 2)),
    }
    return pa.table({name: column for name, column in {**good, **changes}.items() if column is not None})


def parquet(content: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(content, sink, **options)
    return sink.getvalue()


def encrypted(content: pa.Table) -> bytes:
    """An encrypted Parquet file, its key thrown away."""

    class Keys(pqe.KmsClient):
        def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
            return key_bytes

        def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
            return wrapped_key

    factory = pqe.CryptoFactory(lambda _: Keys())
    settings = pqe.EncryptionConfiguration(footer_key="k", column_keys={"k": ["price"]}, data_key_length_bits=128)
    sink = io.BytesIO()
    made = factory.file_encryption_properties(pqe.KmsConnectionConfig(), settings)
    with pq.ParquetWriter(sink, content.schema, encryption_properties=made) as writer:
        writer.write_table(content)
    return sink.getvalue()


def cell(
    title: str, codes: str | None, values: Sequence[Any] | None = None, changes: Mapping[str, Any] | None = None, **cells: str
) -> Case:
    """A value between two good rows: accepted where there are no codes."""
    good, bad = line(), line(**cells)
    column = next(iter(cells))
    kept: dict[str, Sequence[Any]] = {column: values} if values is not None else {}
    accepted, rejected = ((1, 2, 3), {}) if codes is None else ((1, 3), {2: codes})
    return Case("Values", title, csv(good, bad, good), accepted=accepted, rejected=rejected, changes=changes or {}, values=kept)


def _rows() -> list[Case]:
    good = line()
    latin = "Café".encode("latin-1")
    sandwich = {"accepted": (1, 3)}
    every_null = ",".join(f"null:{name}" for name in NAMES)
    header_as_row = ",".join(f"{'format' if name == 'sales_date' else 'type'}:{name}" for name in NAMES if name != "product_name")
    two_lines = line(product_name='"Tea,\ngreen"')
    return [
        Case("Rows", "a row with a value too few", csv(good, "1,121,Tea", good), **sandwich, rejected={2: "row.ragged"}),
        Case("Rows", "a row with a value too many", csv(good, f"{good},9", good), **sandwich, rejected={2: "row.ragged"}),
        Case(
            "Rows",
            "rows that end with a delimiter, under a header that does not",
            csv(f"{good},", f"{good},"),
            rejected={1: "row.ragged", 2: "row.ragged"},
        ),
        Case(
            "Rows",
            "header and rows that end with a delimiter",
            csv(f"{good},", header=f"{HEADER},"),
            accepted=(1,),
            values={"additional_columns": ['{"column_9":null}']},
        ),
        Case(
            "Rows",
            "a quote that is never closed",
            csv(good, OPEN, good, line(product_name='"a"'), good),
            accepted=(1, 3, 4, 5),
            rejected={2: "row.quote"},
        ),
        Case(
            "Rows",
            "two quotes that are never closed",
            csv(OPEN, good, OPEN, good),
            accepted=(2, 4),
            rejected={1: "row.quote", 3: "row.quote"},
        ),
        Case("Rows", "a quote that is never closed in the last line", csv(good) + OPEN.encode(), accepted=(1,), rejected={2: "row.quote"}),
        Case("Rows", "text after a closing quote", csv(good, line(product_name='"Tea"x'), good), **sandwich, rejected={2: "row.quote"}),
        Case(
            "Rows", "a quoted value over two lines", csv(two_lines, good), accepted=(1, 2), values={"product_name": ["Tea,\ngreen", "Tea"]}
        ),
        Case(
            "Rows",
            "a doubled quote in a quoted value",
            csv(line(product_name='"a ""b"" c"')),
            accepted=(1,),
            values={"product_name": ['a "b" c']},
        ),
        Case(
            "Rows", "a quote within an unquoted value", csv(line(product_name='TV 5"')), accepted=(1,), values={"product_name": ['TV 5"']}
        ),
        Case(
            "Rows",
            "every value in quotes, the header too",
            ('"' + '","'.join(NAMES) + '"\n"' + '","'.join(GOOD.values()) + '"\n').encode(),
            accepted=(1,),
        ),
        Case("Rows", "lines that end with CRLF", csv(good, good, end="\r\n"), accepted=(1, 2)),
        Case("Rows", "lines that end with CR alone", csv(good, good, end="\r"), accepted=(1, 2)),
        Case("Rows", "lines that end now so, now so", f"{HEADER}\r\n{good}\n{good}\r{good}\r\n\r\n{good}".encode(), accepted=(1, 2, 3, 4)),
        Case("Rows", "no line end after the last row", csv() + good.encode(), accepted=(1,)),
        Case("Rows", "blank lines, also before the header", f"\n\n{HEADER}\n\n{good}\n  \n\t\n{good}\n\n".encode(), accepted=(1, 2)),
        Case("Rows", "a row of nothing but delimiters", csv(good, ",,,,,,,", good), **sandwich, rejected={2: every_null}),
        Case("Rows", "the header once more among the rows", csv(good, HEADER, good), **sandwich, rejected={2: header_as_row}),
        Case(
            "Rows",
            "a line of totals at the end",
            csv(good, "Total,,,,,,,3.00"),
            accepted=(1,),
            rejected={2: "type:customer_id,null:store_id,null:product_name,null:sales_date,null:sales_person_id,null:price,null:quantity"},
        ),
        Case("Rows", "a NUL byte", csv(good, line(product_name="T\0a"), good), **sandwich, rejected={2: "row.nul_byte"}),
        Case(
            "Rows",
            "bytes that are not UTF-8, with no `encoding` declared",
            csv(good) + line(product_name="X").encode().replace(b"X", latin) + b"\n" + csv(header=good),
            **sandwich,
            rejected={2: "row.encoding"},
        ),
        Case(
            "Rows",
            "overlong and cut UTF-8",
            csv(good) + line(product_name="X").encode().replace(b"X", b"\xc0\xaf\xe2\x82") + b"\n",
            accepted=(1,),
            rejected={2: "row.encoding"},
        ),
        Case(
            "Rows",
            "Latin-1, declared",
            csv(line(product_name="Café")).decode().encode("latin-1"),
            accepted=(1,),
            changes={"encoding": "latin-1"},
            values={"product_name": ["Café"]},
        ),
        Case(
            "Rows",
            "Windows-1252, declared",
            csv(line(product_name="5 €")).decode().encode("cp1252"),
            accepted=(1,),
            changes={"encoding": "cp1252"},
            values={"product_name": ["5 €"]},
        ),
        Case(
            "Rows",
            "a byte without a meaning in the declared encoding",
            csv(good) + line(product_name="X").encode().replace(b"X", b"\x81") + b"\n",
            accepted=(1,),
            rejected={2: "row.encoding"},
            changes={"encoding": "cp1252"},
        ),
        Case("Rows", "a value of 10 MB", csv(good, line(product_name="x" * 10_000_000), good), **sandwich, rejected={2: "row.too_long"}),
        Case(
            "Rows",
            "a quoted value of 10 MB without a line end",
            csv(good, line(product_name='"' + "x" * 10_000_000 + '"'), good),
            **sandwich,
            rejected={2: "row.too_long"},
        ),
        Case(
            "Rows",
            "all that a row broke at once",
            csv(line(customer_id="x", sales_date="2026-13-01", price="-1.505")),
            rejected={1: "type:customer_id,format:sales_date,scale:price"},
        ),
        Case("Rows", "a total that is not price × quantity", csv(line(total_cost="3.02")), rejected={1: "row.total_mismatch"}),
    ]


def _values() -> list[Case]:
    day = {"columns": {"sales_date": {"date_formats": ["%m/%d/%Y %H:%M"]}}}
    first = date(2026, 3, 1)
    comma = {"delimiter": ";", "decimal_sign": ","}
    return [
        cell("an empty mandatory value", "null:price", price=""),
        cell("a quoted empty mandatory value", "null:price", price='""'),
        cell("blanks for a number", "null:price", price="   "),
        cell("an empty optional value", None, product_name="Tea"),
        cell("an exponent, `1e3`", "type:price", price="1e3"),
        cell("thousands separators, `1,234.50`", "type:price", price='"1,234.50"'),
        cell("blanks around a number, ` 12 `", None, [Decimal("1.50"), Decimal("12.00"), Decimal("1.50")], price=" 12 ", total_cost="24"),
        cell("a no-break space around a number", "type:price", price="\u00a012"),
        cell("digits of other scripts, `٣`", "type:quantity", quantity="٣"),
        cell("`NaN`", "type:price", price="NaN"),
        cell("`inf`", "type:price", price="inf"),
        cell("a currency sign", "type:price", price="$1.50"),
        cell("a hexadecimal number", "type:quantity", quantity="0x2"),
        cell("an underscore among digits", "type:quantity", quantity="1_0"),
        cell("a decimal sign without digits before it, `.5`", "type:price", price=".5"),
        cell("a decimal comma where the contract says a point", "type:price", price='"1,50"'),
        cell("zeros that need not be kept, `01.5000`", None, [Decimal("1.50")] * 3, price="01.5000"),
        cell("a plus sign", None, [2, 2, 2], quantity="+2"),
        cell("a negative zero", None, [Decimal("1.50"), Decimal(0), Decimal("1.50")], price="-0.00", total_cost="0"),
        cell("more decimal places than the column's", "scale:price", price="1.505"),
        cell("half a unit", "scale:quantity", quantity="2.5"),
        cell("a whole number written with decimals, `2.0`", None, [2, 2, 2], quantity="2.0"),
        cell("a decimal beyond the column's precision", "range:price", price="1" + "0" * 16),
        cell("an integer beyond 64 bits", "range:quantity", quantity="9223372036854775808"),
        cell("a number of 5,000 digits", "range:quantity", quantity="9" * 5000),
        cell("a value below the contract's minimum", "min:quantity", quantity="0", total_cost="0"),
        cell("a word for a number", "type:quantity", quantity="two"),
        cell(
            "a day that is none, `31/02/2026`",
            "format:sales_date",
            changes={"columns": {"sales_date": {"date_formats": ["%d/%m/%Y", "%Y-%m-%d"]}}},
            sales_date="31/02/2026",
        ),
        cell("29 February of a common year", "format:sales_date", sales_date="2026-02-29"),
        cell("a date in another format", "format:sales_date", sales_date="01/03/2026"),
        cell("a date with a time, in a column of days", "format:sales_date", sales_date="2026-03-01 08:26"),
        cell("a date of the year 0", "format:sales_date", sales_date="0000-01-01"),
        cell("a day of sale before 1678", "range:sales_date", sales_date="0001-01-01"),
        cell("a day of sale after 2261", "range:sales_date", sales_date="9999-12-31"),
        cell("a date in digits of other scripts", "format:sales_date", sales_date="٢٠٢٦-٠٣-٠١"),
        Case(
            "Values",
            "a time in the contract's date format, `3/1/2026 8:26`",
            csv(line(sales_date="3/1/2026 8:26"), line(sales_date="03/01/2026 08:26"), line(sales_date="3/1/2026 24:00")),
            accepted=(1, 2),
            rejected={3: "format:sales_date"},
            changes=day,
            values={"sales_date": [first, first]},
        ),
        Case(
            "Values",
            "semicolons and decimal commas, as the contract says",
            csv(line(";", price="1,50", total_cost="3,0"), line(";"), header=HEADER.replace(",", ";")),
            accepted=(1,),
            rejected={2: "type:price,type:total_cost"},
            changes=comma,
        ),
        Case(
            "Values",
            "an empty value of a column with a `default`",
            csv(line(store_id=""), line(store_id="x")),
            accepted=(1,),
            rejected={2: "type:store_id"},
            changes={"columns": {"store_id": {"default": "5"}}},
            values={"store_id": [5]},
        ),
        Case(
            "Values",
            "an empty value of a column with `compute`",
            csv(
                line(total_cost=""),
                line(price="1e1", total_cost=""),
                line(price="", total_cost=""),
                line(price="9" * 16, quantity="9" * 9, total_cost=""),
            ),
            accepted=(1,),
            rejected={2: "type:price", 3: "null:price,null:total_cost", 4: "range:total_cost"},
            changes={"columns": {"total_cost": {"compute": "price * quantity"}}},
            values={"total_cost": [Decimal("3.00")]},
        ),
        Case(
            "Values",
            "a computed value that would divide by zero",
            csv(line(price="", quantity="2"), line(price="", quantity="0", total_cost="0")),
            accepted=(1,),
            rejected={2: "compute:price"},
            changes={"rules": [], "columns": {"price": {"compute": "total_cost / quantity"}, "quantity": {"min": "0"}}},
        ),
        Case(
            "Values",
            "a computed value, rounded half up",
            csv(line(price="", quantity="8", total_cost="1.00"), line(price="", quantity="8", total_cost="1.08")),
            accepted=(1, 2),
            changes={"rules": [], "columns": {"price": {"compute": "total_cost / quantity"}}},
            values={"price": [Decimal("0.13"), Decimal("0.14")]},
        ),
    ]


def _headers() -> list[Case]:
    good = line()
    rejected = {"outcome": "rejected", "read": 0}
    semicolons = {"delimiter": ";"}
    short = HEADER.removesuffix(",total_cost")
    return [
        Case(
            "Headers",
            "names in another order and case, with an alias",
            csv("2,R9," + line().replace(",2,", ",", 1), header="QUANTITY,Invoice_No," + HEADER.replace(",quantity", "")),
            accepted=(1,),
            values={"transaction_id": ["R9"], "quantity": [2]},
        ),
        Case("Headers", "names with blanks around them", csv(good, header=" " + HEADER.replace(",", " , ") + " "), accepted=(1,)),
        Case("Headers", "a byte order mark", b"\xef\xbb\xbf" + csv(good), accepted=(1,)),
        Case(
            "Headers",
            "a byte order mark before quoted names",
            b"\xef\xbb\xbf" + csv(good, header=f'"{NAMES[0]}",' + ",".join(NAMES[1:])),
            accepted=(1,),
        ),
        Case(
            "Headers",
            "an unknown column",
            csv(f"{good},sunny", header=f"{HEADER},weather"),
            accepted=(1,),
            values={"additional_columns": ['{"weather":"sunny"}']},
        ),
        Case(
            "Headers",
            "an unknown column, with `on_extra_column: drop`",
            csv(f"{good},sunny", header=f"{HEADER},weather"),
            accepted=(1,),
            changes={"on_extra_column": "drop"},
            values={"additional_columns": [None]},
        ),
        Case(
            "Headers",
            "an unknown column, with `on_extra_column: reject_file`",
            csv(f"{good},sunny", header=f"{HEADER},weather"),
            **rejected,
            code="file.extra_column",
            changes={"on_extra_column": "reject_file"},
        ),
        Case(
            "Headers",
            "a mandatory column that is missing",
            csv(good.removesuffix(",3.00"), header=short),
            **rejected,
            code="file.missing_column",
        ),
        Case(
            "Headers",
            "a mandatory column that is missing, with `on_missing_column: fill_null`",
            csv(good.removesuffix(",3.00"), header=short),
            rejected={1: "null:total_cost"},
            changes={"on_missing_column": "fill_null"},
        ),
        Case(
            "Headers",
            "a missing column with a `default`",
            csv(good.replace("1,121,", "1,"), header=HEADER.replace("store_id,", "")),
            accepted=(1,),
            changes={"columns": {"store_id": {"default": "5"}}},
            values={"store_id": [5]},
        ),
        Case(
            "Headers",
            "a missing column with `compute`",
            csv(good.removesuffix(",3.00"), header=short),
            accepted=(1,),
            changes={"columns": {"total_cost": {"compute": "price * quantity"}}},
            values={"total_cost": [Decimal("3.00")]},
        ),
        Case("Headers", "a name twice", csv(f"{good},1", header=f"{HEADER},Price"), **rejected, code="file.duplicate_column"),
        Case("Headers", "an unknown name twice", csv(f"{good},1,2", header=f"{HEADER},x,x"), **rejected, code="file.duplicate_column"),
        Case(
            "Headers",
            "a column under its name and its alias",
            csv(f"{good},1,2", header=f"{HEADER},invoice_no,receipt_id"),
            **rejected,
            code="file.duplicate_column",
        ),
        Case("Headers", "no header", csv(good, header=good), **rejected, code="file.missing_column"),
        Case(
            "Headers",
            "another delimiter than the contract's",
            csv(line(";"), header=HEADER.replace(",", ";")),
            **rejected,
            code="file.delimiter",
        ),
        Case(
            "Headers",
            'tabs, with `delimiter: "\\t"`',
            csv(line("\t"), header=HEADER.replace(",", "\t")),
            accepted=(1,),
            changes={"delimiter": "\t"},
        ),
        Case(
            "Headers",
            'Excel\'s first line `sep=;`, with `delimiter: ";"`',
            b"sep=;\r\n" + csv(line(";"), header=HEADER.replace(",", ";"), end="\r\n"),
            accepted=(1,),
            changes=semicolons,
        ),
        Case(
            "Headers",
            "Excel's first line `sep=;`, with another delimiter",
            b"sep=;\r\n" + csv(line(";"), header=HEADER.replace(",", ";"), end="\r\n"),
            **rejected,
            code="file.delimiter",
        ),
        Case("Headers", "a quote in the header that is never closed", csv(good, header=f'"{HEADER}'), **rejected, code="file.header"),
        Case(
            "Headers",
            "a header that is not UTF-8",
            csv(good, header=f"{HEADER},é").decode().encode("latin-1"),
            **rejected,
            code="file.encoding",
        ),
        Case("Headers", "a header with a NUL byte", csv(good, header=f"{HEADER},\0"), **rejected, code="file.unreadable"),
        Case("Headers", "a title above the header", b"Sales of March\n" + csv(good), **rejected, code="file.missing_column"),
        Case("Headers", "a header only", csv(), "empty"),
        Case("Headers", "a header only, without a line end", HEADER.encode(), "empty"),
        Case("Headers", "nothing at all", b"", "empty"),
        Case("Headers", "blank lines only", b"\n\r\n \n", "empty"),
        Case("Headers", "a byte order mark and nothing else", b"\xef\xbb\xbf", "empty"),
    ]


def _containers() -> list[Case]:
    good = line()
    rejected = {"outcome": "rejected", "read": 0}
    many = [line(customer_id=str(i)) for i in range(1, 201)]
    packed = zipped(csv(*many))
    damaged = bytearray(packed)
    damaged[-6] ^= 1
    unreadable = {**rejected, "code": "file.unreadable"}
    half = csv(good, "x", good, good)
    return [
        Case("Files", "gzip under a name without .gz", zipped(csv(good)), accepted=(1,)),
        Case("Files", "plain text under the name .csv.gz", csv(good), accepted=(1,), name="sales.csv.gz"),
        Case("Files", "two gzip members", zipped(csv(good)) + zipped(csv(header=good)), accepted=(1, 2), name="sales.csv.gz"),
        Case(
            "Files",
            "two gzip members, the second with a header of its own",
            zipped(csv(good)) + zipped(csv(good)),
            accepted=(1, 3),
            rejected={2: _rows()[18].rejected[2]},
            name="sales.csv.gz",
        ),
        Case("Files", "zeros after the gzip stream", zipped(csv(good)) + bytes(512), accepted=(1,), name="sales.csv.gz"),
        Case(
            "Files",
            "other bytes after the gzip stream",
            zipped(csv(good)) + b"rubbish",
            outcome="rejected",
            read=0,
            code="file.unreadable",
            name="sales.csv.gz",
        ),
        Case("Files", "truncated gzip", packed[: len(packed) // 2], outcome="rejected", code="file.truncated", read=0, name="sales.csv.gz"),
        Case("Files", "gzip cut in its last bytes", packed[:-4], outcome="rejected", code="file.truncated", read=0, name="sales.csv.gz"),
        Case("Files", "gzip with a wrong checksum", bytes(damaged), **unreadable, name="sales.csv.gz"),
        Case("Files", "gzip within gzip", zipped(zipped(csv(good))), **unreadable),
        Case("Files", "gzip of a header only", zipped(csv()), "empty", name="sales.csv.gz"),
        Case("Files", "gzip of nothing", zipped(b""), "empty", name="sales.csv.gz"),
        Case("Files", "UTF-16 with a byte order mark", csv(good, line(product_name="Té☕")).decode().encode("utf-16"), accepted=(1, 2)),
        Case("Files", "UTF-16 without a byte order mark", csv(good).decode().encode("utf-16-le"), **rejected, code="file.encoding"),
        Case("Files", "UTF-16, declared", csv(good).decode().encode("utf-16-le"), accepted=(1,), changes={"encoding": "utf-16-le"}),
        Case(
            "Files",
            "UTF-16 that breaks off within a character",
            csv(good, good).decode().encode("utf-16")[:-3],
            accepted=(1,),
            rejected={2: "row.encoding"},
        ),
        Case("Files", "UTF-32 with a byte order mark", csv(good).decode().encode("utf-32"), accepted=(1,)),
        Case("Files", "a zip archive or an Excel workbook", b"PK\x03\x04" + bytes(100), **unreadable),
        Case("Files", "an old Excel workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), **unreadable),
        Case("Files", "a PDF document", b"%PDF-1.7\n", **unreadable),
        Case("Files", "compression other than gzip", b"\x28\xb5\x2f\xfd" + bytes(20), **unreadable),
        Case("Files", "nothing but NUL bytes", bytes(1000), **rejected, code="file.encoding"),
        Case("Files", "random bytes", bytes((i * 7919 + 128) % 251 for i in range(1, 400)), **rejected, code="file.encoding"),
        Case("Files", "a page of HTML", b"<!DOCTYPE html>\n<html><body>404</body></html>\n", **rejected, code="file.missing_column"),
        Case(
            "Files",
            "a share of bad rows up to `max_rejected_ratio`",
            half,
            accepted=(1, 3, 4),
            rejected={2: "row.ragged"},
            changes={"max_rejected_ratio": 0.25},
        ),
        Case(
            "Files",
            "a share of bad rows above `max_rejected_ratio`",
            half,
            "rejected",
            read=4,
            code="file.too_many_rejections",
            changes={"max_rejected_ratio": 0.24},
        ),
        Case(
            "Files",
            "as many bad rows as `max_rejected_rows`",
            half,
            accepted=(1, 3, 4),
            rejected={2: "row.ragged"},
            changes={"max_rejected_rows": 1},
        ),
        Case(
            "Files",
            "more bad rows than `max_rejected_rows`",
            half,
            "rejected",
            read=4,
            code="file.too_many_rejections",
            changes={"max_rejected_rows": 0},
        ),
        Case("Files", "nothing but bad rows, with no limit", csv("x", "y"), rejected={1: "row.ragged", 2: "row.ragged"}),
    ]


def _json() -> list[Case]:
    def case(title: str, content: bytes, **expected: Any) -> Case:
        return Case("JSON lines", title, content, **{"name": "sales.jsonl", **expected})

    good = record()
    rejected = {"outcome": "rejected", "code": "file.unreadable"}
    text = json.dumps(good)
    return [
        case("numbers and texts of the right types", jsonl(good, {name: str(value) for name, value in good.items()}), accepted=(1, 2)),
        case("JSON lines under the name .csv", jsonl(good), accepted=(1,), name="sales.csv"),
        case("CSV under the name .jsonl", csv(line()), accepted=(1,)),
        case("a byte order mark", b"\xef\xbb\xbf" + jsonl(good), accepted=(1,)),
        case("gzip", zipped(jsonl(good)), accepted=(1,), name="sales.jsonl.gz"),
        case(
            "an array or object where a value should be",
            jsonl(good, record(price=[1]), record(price={"amount": 1})),
            accepted=(1,),
            rejected={2: "type:price", 3: "type:price"},
        ),
        case(
            "values of other types",
            jsonl(record(price=True), record(sales_date=20260301), record(product_name=5)),
            accepted=(3,),
            rejected={1: "type:price", 2: "format:sales_date"},
            values={"product_name": ["5"]},
        ),
        case(
            "an exponent, NaN and Infinity",
            jsonl(text.replace("1.5", "15e-1"), text.replace("1.5", "NaN"), text.replace("1.5", "Infinity"), good),
            accepted=(4,),
            rejected={1: "type:price", 2: "row.json", 3: "row.json"},
        ),
        case(
            "null, and a name that is missing",
            jsonl(record(price=None), {k: v for k, v in good.items() if k != "price"}),
            rejected={1: "null:price", 2: "null:price"},
        ),
        case(
            "a mandatory name in no line",
            jsonl({k: v for k, v in good.items() if k != "price"}),
            outcome="rejected",
            read=1,
            code="file.missing_column",
        ),
        case(
            "a name twice in a line",
            jsonl(good, text[:-1] + ',"price":2}', text[:-1] + ',"Price":2}'),
            accepted=(1,),
            rejected={2: "row.json", 3: "row.json"},
        ),
        case(
            "nested values in unknown names",
            jsonl(record(till={"id": 7, "tags": ["a", None]})),
            accepted=(1,),
            values={"additional_columns": ['{"till":{"id":7,"tags":["a",null]}}']},
        ),
        case("a line that breaks off", jsonl(good) + text[:-7].encode(), accepted=(1,), rejected={2: "row.json"}),
        case("two objects in a line", jsonl(good, text + text), accepted=(1,), rejected={2: "row.json"}),
        case(
            "an array, a number and a word as lines",
            jsonl(good, "[1]", "7", "x"),
            accepted=(1,),
            rejected={2: "row.json", 3: "row.json", 4: "row.json"},
        ),
        case(
            "escapes of what no text holds",
            jsonl(good, record(product_name="a\0"), text.replace("Tea", "\\ud800")),
            accepted=(1,),
            rejected={2: "row.nul_byte", 3: "row.encoding"},
        ),
        case("a JSON array", json.dumps([good]).encode(), **rejected, read=0),
        case("JSON over several lines", json.dumps(good, indent=2).encode(), **rejected, read=10),
        case(
            "an object 2,000 levels deep",
            jsonl(good, text[:-1] + ',"x":' + "[" * 2000 + "]" * 2000 + "}"),
            accepted=(1,),
            rejected={2: "row.json"},
        ),
        case("empty objects only", b"{}\n{}\n", outcome="rejected", read=2, code="file.missing_column"),
        case("nothing at all", b"", outcome="empty"),
    ]


def _parquet() -> list[Case]:
    def case(title: str, content: bytes, **expected: Any) -> Case:
        return Case("Parquet", title, content, **{"name": "sales.parquet", **expected})

    whole = parquet(table(3))
    unreadable = {"outcome": "rejected", "read": 0, "code": "file.unreadable"}
    truncated = {"outcome": "rejected", "read": 0, "code": "file.truncated"}
    moment = datetime(2026, 3, 1, tzinfo=timezone.utc)
    later = datetime(2026, 3, 1, 8, 26, tzinfo=timezone.utc)
    stamps = pa.array([moment, later], pa.timestamp("ns", tz="UTC"))
    plain_stamps = stamps.cast(pa.timestamp("ns"))
    broken_text = pa.array([b"Tea", b"\xff"]).view(pa.string())
    wrong_footer = whole[:-8] + b"\xff\xff\xff\x7f" + whole[-4:]
    middle = bytearray(whole)
    middle[4:60] = b"\xff" * 56
    return [
        case("columns of the contract's types", whole, accepted=(1, 2, 3)),
        case("Parquet under the name .csv", whole, accepted=(1, 2, 3), name="sales.csv"),
        case(
            "narrower types that fit: int32, uint8, float32, text",
            parquet(
                table(
                    customer_id=pa.array([1], pa.int32()),
                    quantity=pa.array([2], pa.uint8()),
                    price=pa.array([1.5], pa.float32()),
                    total_cost=pa.array(["3.00"]),
                )
            ),
            accepted=(1,),
            values={"price": [Decimal("1.50")]},
        ),
        case(
            "wider types that fit: uint64, decimal of 38 digits",
            parquet(table(customer_id=pa.array([1], pa.uint64()), price=pa.array([Decimal("1.5")], pa.decimal128(38, 10)))),
            accepted=(1,),
        ),
        case(
            "wider values that do not fit",
            parquet(
                table(
                    2,
                    customer_id=pa.array([1, 2**64 - 1], pa.uint64()),
                    price=pa.array([Decimal("1.505"), Decimal("1.5")], pa.decimal128(38, 10)),
                )
            ),
            rejected={1: "scale:price", 2: "range:customer_id"},
        ),
        case(
            "decimals as floats",
            parquet(table(4, price=pa.array([1.5, 0.1 + 0.2, float("nan"), float("inf")]), total_cost=pa.array([3.0] * 4))),
            accepted=(1,),
            rejected={2: "scale:price", 3: "type:price", 4: "type:price"},
        ),
        case(
            "dictionaries",
            parquet(table(2, product_name=pa.array(["Tea", "Milk"]).dictionary_encode())),
            accepted=(1, 2),
            values={"product_name": ["Tea", "Milk"]},
        ),
        case(
            "text in a binary column",
            parquet(table(2, product_name=pa.array([b"Tea", b"T\xff"], pa.binary()))),
            accepted=(1,),
            rejected={2: "row.encoding"},
        ),
        case("text that is not UTF-8", parquet(table(2, product_name=broken_text)), accepted=(1,), rejected={2: "row.encoding"}),
        case("a NUL byte in a text", parquet(table(product_name=pa.array(["T\0"]))), rejected={1: "row.nul_byte"}),
        case(
            "a timestamp for a date: midnight passes, another time does not",
            parquet(table(2, sales_date=stamps)),
            accepted=(1,),
            rejected={2: "format:sales_date"},
        ),
        case(
            "timestamps as INT96",
            parquet(table(2, sales_date=plain_stamps), use_deprecated_int96_timestamps=True),
            accepted=(1,),
            rejected={2: "format:sales_date"},
        ),
        case(
            "a date as text",
            parquet(table(2, sales_date=pa.array(["2026-03-01", "1.3.2026"]))),
            accepted=(1,),
            rejected={2: "format:sales_date"},
        ),
        case("a nested column for a plain one", parquet(table(price=pa.array([[Decimal("1.5")]]))), rejected={1: "type:price"}),
        case(
            "a nested column that the contract does not name",
            parquet(table(till=pa.array([{"id": 7}]))),
            accepted=(1,),
            values={"additional_columns": ['{"till":{"id":7}}']},
        ),
        case(
            "NULL in a mandatory column",
            parquet(table(2, price=pa.array([None, Decimal("1.5")], pa.decimal128(18, 2)))),
            accepted=(2,),
            rejected={1: "null:price"},
        ),
        case("a column of nothing but NULL", parquet(table(price=pa.nulls(1))), rejected={1: "null:price"}),
        case("other compression inside: zstd, gzip, brotli", parquet(table(2), compression="zstd"), accepted=(1, 2)),
        case("a mandatory column that is missing", parquet(table(price=None)), outcome="rejected", read=1, code="file.missing_column"),
        case(
            "a name twice", parquet(table().append_column("Price", pa.array([1]))), outcome="rejected", read=1, code="file.duplicate_column"
        ),
        case("no rows", parquet(table(0)), outcome="empty"),
        case("no columns", parquet(pa.table({})), outcome="rejected", read=0, code="file.missing_column"),
        case("a file without its end", whole[:-20], **truncated),
        case("a file of four bytes", b"PAR1", **truncated),
        case("a footer that is longer than the file", wrong_footer, **unreadable),
        case("damaged data", bytes(middle), outcome="rejected", read=3, code="file.unreadable"),
        case("encrypted", encrypted(table()), **unreadable),
        case("names of columns that are not UTF-8", whole.replace(b"customer_id", b"customer_\xe4d"), **unreadable),
        case("inside gzip", zipped(whole), **unreadable, name="sales.parquet.gz"),
    ]


CASES: tuple[Case, ...] = (*_rows(), *_values(), *_headers(), *_containers(), *_json(), *_parquet())


def documented() -> str:
    """The table "what becomes of it", by group."""
    parts = []
    for group in dict.fromkeys(case.group for case in CASES):
        lines = [
            f"### {group}",
            "",
            "| what is delivered | becomes | rows read | accepted | rejected, with their codes |",
            "| --- | --- | --- | --- | --- |",
        ]
        for case in CASES:
            if case.group != group:
                continue
            codes: dict[str, list[int]] = {}
            for row, text in case.rejected.items():
                codes.setdefault(text, []).append(row)
            told = "; ".join(
                f"row {', '.join(map(str, rows))}: {', '.join(f'`{c}`' for c in text.split(','))}" for text, rows in codes.items()
            )
            if case.code:
                told = f"the file: `{case.code}`"
            title = case.title.replace("|", "\\|")
            read = "" if case.code else case.rows_read
            lines.append(f"| {title} | {case.outcome} | {read} | {len(case.accepted)} | {told} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def with_table(text: str) -> str:
    """The text of docs/ingestion.md with its table made anew."""
    begin, end = "<!-- corpus -->\n", "<!-- /corpus -->"
    before, _, rest = text.partition(begin)
    return f"{before}{begin}{documented()}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text("utf-8")), "utf-8")
