"""Random tables, written in random dialects, with random rows broken: exact accounting and exact values."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, event, given, settings

from salesmart_assets.contracts import Contract
from salesmart_assets_tests.ingest.corpus import contract_with
from salesmart_assets_tests.ingest.reading import read

COLUMNS = ("customer_id", "store_id", "product_name", "sales_date", "sales_person_id", "price", "quantity", "total_cost", "transaction_id")
ALIASES = {"transaction_id": ("receipt_id", "invoice_no"), "pos_id": ("till_id",)}
FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%Y%m%d", "%d.%m.%Y", "%d %b %Y")
LETTERS = st.characters(codec="cp1252", exclude_categories=("Cc", "Cs"))
CENT = Decimal("0.01")

UNFIT = {
    "customer_id": [("x", "type"), ("1e3", "type"), ("٣", "type"), ("1_0", "type"), ("0x1", "type"), ("9" * 20, "range"), ("1.5", "scale")],
    "store_id": [("NaN", "type"), ("-9223372036854775809", "range")],
    "sales_date": [("31/31/2026", "format"), ("yesterday", "format"), ("2026-02-30", "format")],
    "sales_person_id": [("", "null"), (" ", "null"), ("seven", "type")],
    "price": [("inf", "type"), ("1.005", "scale"), ("1" * 17, "range"), ("$1", "type"), ("", "null"), ("-1", "min")],
    "quantity": [("0.5", "scale"), ("1 000", "type"), ("0", "min"), ("", "null")],
    "product_name": [("", "null")],
}
"""Texts that are no good value of a column, with the kind of code; decimal points are written as the dialect says."""
OF_TOTAL = {"price", "quantity", "total_cost"}


@dataclass(frozen=True)
class Dialect:
    """How a table is written, and what the contract says of it."""

    contract: Contract
    delimiter: str
    sign: str
    end: str
    order: tuple[str, ...]
    header: tuple[str, ...]
    date_format: str
    encoding: str
    declared: bool
    quotes: str
    gzip: int
    last_end: bool

    def cell(self, name: str, value: Any) -> str:
        """A value as text, before it is quoted."""
        if value is None:
            return ""
        if isinstance(value, date):
            text = value.strftime(self.date_format.replace("%H:%M", "8:26"))
            # Days and months may have one digit, years have four.
            return text if "%Y%m" in self.date_format or "%b" in self.date_format else text.replace("/0", "/")
        if isinstance(value, Decimal):
            return f"{value:f}".replace(".", self.sign)
        return str(value)

    def quoted(self, text: str, *, always: bool) -> str:
        special = {self.delimiter, '"', "\n", "\r"}
        if always or special & set(text):
            return '"' + text.replace('"', '""') + '"'
        return text

    def line(self, cells: dict[str, str]) -> str:
        texts = []
        for place, name in enumerate(self.order):
            always = self.quotes == "all" or (self.quotes == "some" and place % 2 == 0) or not cells[name].strip()
            texts.append(self.quoted(cells[name], always=always))
        return self.delimiter.join(texts)

    def file(self, lines: list[str]) -> bytes:
        text = self.end.join([self.delimiter.join(self.quoted(name, always=self.quotes == "all") for name in self.header), *lines])
        content = (text + (self.end if self.last_end else "")).encode(self.encoding, "surrogatepass")
        if self.gzip == 1:
            return gzip.compress(content, mtime=0)
        if self.gzip == 2:
            return b"".join(gzip.compress(part, mtime=0) for part in (content[: len(content) // 2], content[len(content) // 2 :]))
        return content


@st.composite
def dialects(draw: st.DrawFn) -> Dialect:
    delimiter, sign = draw(st.sampled_from([(",", "."), (";", "."), (";", ","), ("\t", ","), ("|", "."), (",", ",")]))
    date_format = draw(st.sampled_from(FORMATS))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32"]))
    computed = draw(st.booleans())
    order = draw(st.permutations([*COLUMNS, "note"]))
    if computed and draw(st.booleans()):
        order = [name for name in order if name != "total_cost"]
    if draw(st.booleans()):
        order = [name for name in order if name != "store_id"]
    header = []
    for name in order:
        spelling = draw(st.sampled_from((name, *ALIASES.get(name, ()))))
        header.append(draw(st.sampled_from((spelling, spelling.upper(), f" {spelling.title()} "))) if name != "note" else name)
    changes: dict[str, Any] = {
        "delimiter": delimiter,
        "decimal_sign": sign,
        "columns": {
            "sales_date": {"date_formats": [date_format]},
            "store_id": {"default": "77"},
            "total_cost": {"compute": "price * quantity"} if computed else {},
        },
    }
    if encoding == "cp1252":
        changes["encoding"] = encoding
    return Dialect(
        contract_with(changes),
        delimiter,
        sign,
        draw(st.sampled_from(["\n", "\r\n", "\r"])),
        tuple(order),
        tuple(header),
        date_format,
        encoding,
        computed,
        draw(st.sampled_from(["least", "some", "all"])),
        draw(st.integers(0, 2)),
        draw(st.booleans()),
    )


@st.composite
def sales(draw: st.DrawFn, *, over_lines: bool) -> dict[str, Any]:
    price, quantity = draw(st.decimals(0, 10**9, places=2)), draw(st.integers(1, 1000))
    signs = ',;|\t"' + ("\n\r" if over_lines else "")
    # A line inside a text that is a row by itself is taken for one; so few signs never make it.
    text = st.text(LETTERS | st.sampled_from(signs), min_size=1, max_size=12).filter(
        lambda t: t.strip() and all(t.count(s) < 5 for s in ",;|\t") and not t.strip('"').isspace()
    )
    return {
        "customer_id": draw(st.integers(-(2**63), 2**63 - 1)),
        "store_id": draw(st.none() | st.integers(0, 999)),
        "product_name": draw(text),
        "sales_date": draw(st.dates(date(1678, 1, 1), date(2261, 12, 31))),
        "sales_person_id": 7,
        "price": price,
        "quantity": quantity,
        "total_cost": price * quantity,
        "transaction_id": draw(st.none() | text),
        "note": draw(st.none() | text),
    }


@st.composite
def files(draw: st.DrawFn) -> tuple[Dialect, list[tuple[str, dict[str, Any] | None, str]]]:
    """A dialect, and lines of a file: the text, the row that it must come to, or the codes that it is rejected with."""
    dialect = draw(dialects())
    structural = draw(st.sampled_from([(), ("ragged", "nul"), ("ragged", "nul", "open")]))
    lines: list[tuple[str, dict[str, Any] | None, str]] = []
    for _ in range(draw(st.integers(0, 6))):
        row = draw(sales(over_lines="open" not in structural))
        fault = draw(st.sampled_from(("", "", "cells", *structural)))
        cells = {name: dialect.cell(name, row[name]) for name in dialect.order}
        if dialect.declared and "total_cost" in dialect.order and draw(st.booleans()):
            cells["total_cost"] = ""
        if fault == "cells":
            broken = draw(st.lists(st.sampled_from([n for n in UNFIT if n in dialect.order]), min_size=1, max_size=3, unique=True))
            kinds = {}
            for name in broken:
                text, kinds[name] = draw(st.sampled_from([t for t in UNFIT[name] if not (name == "sales_date" and t[0][:4] == "2026")]))
                cells[name] = text.replace(".", dialect.sign)
            if encoded(dialect, cells):
                lines.append((dialect.line(cells), None, codes_of(dialect, cells, row, kinds)))
        elif fault == "ragged":
            count = draw(st.sampled_from([2, len(dialect.order) - 1, len(dialect.order) + 1]))
            lines.append((dialect.delimiter.join(["x"] * count), None, "row.ragged"))
        elif fault == "nul":
            cells["customer_id"] = "1\0"
            lines.append((dialect.line(cells), None, "row.nul_byte"))
        elif fault == "open":
            plain = dict.fromkeys(dialect.order, "x")
            text = dialect.delimiter.join('"x' if place == 0 else plain[name] for place, name in enumerate(dialect.order))
            lines.append((text, None, "row.quote"))
        else:
            lines.append((dialect.line(cells), expected(dialect, row), ""))
    return dialect, lines


def encoded(dialect: Dialect, cells: dict[str, str]) -> bool:
    try:
        "".join(cells.values()).encode(dialect.encoding)
    except UnicodeEncodeError:
        return False
    return True


def codes_of(dialect: Dialect, cells: dict[str, str], row: dict[str, Any], kinds: dict[str, str]) -> str:
    """The codes of a row with unfit cells, in the contract's order; what is computed from nothing is missing too."""
    found = []
    computed = dialect.declared and not cells.get("total_cost", "").strip()
    price = None if kinds.get("price") not in (None, "min") else Decimal(-1) if "price" in kinds else row["price"]
    quantity = None if kinds.get("quantity") not in (None, "min") else 0 if "quantity" in kinds else row["quantity"]
    for name in dialect.contract.columns:
        if name in kinds:
            found.append(f"{kinds[name]}:{name}")
        elif name == "total_cost" and computed and (price is None or quantity is None):
            inputs = [kinds.get(n) for n in ("price", "quantity")]
            if not any(kind not in (None, "null", "min") for kind in inputs):
                found.append("null:total_cost")
    if price is not None and quantity is not None and not computed and abs(row["total_cost"] - price * quantity) > CENT:
        found.append("row.total_mismatch")
    return ",".join(found)


def expected(dialect: Dialect, row: dict[str, Any]) -> dict[str, Any]:
    note = {"note": row["note"]} if "note" in dialect.order else None
    store = row["store_id"] if "store_id" in dialect.order and row["store_id"] is not None else 77
    return {**{name: row[name] for name in COLUMNS}, "store_id": store, "additional_columns": note}


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(drawn=files(), block_bytes=st.sampled_from([1, 17, 100, 1000]))
def test_random_tables_in_random_dialects_with_random_faults(drawn: tuple[Dialect, list[Any]], block_bytes: int) -> None:
    """Random tables in random dialects with random faults: good rows come out exactly, bad ones with all of their codes."""
    dialect, lines = drawn
    content = dialect.file([text for text, _, _ in lines])
    event(f"delimiter {dialect.delimiter!r}, {dialect.encoding}")
    found = read(content, "file", dialect.contract, block_bytes=block_bytes)
    assert found.summary.outcome == ("loaded" if lines else "empty"), found.summary
    assert found.codes == {number: codes for number, (_, _, codes) in enumerate(lines, 1) if codes}
    good = [row for _, row, _ in lines if row is not None]
    rows = [{name: row[name] for name in (*COLUMNS, "additional_columns")} for row in found.rows]
    for row in rows:
        row["additional_columns"] = json.loads(row["additional_columns"]) if row["additional_columns"] else None
    assert rows == good


NUMBERS = st.decimals(-(10**10), 10**10, places=2)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(NUMBERS, st.integers(-(10**6), 10**6), st.integers(-50, 50)), min_size=1, max_size=20),
    expression=st.sampled_from(
        [
            "price * quantity",
            "price / line_number",
            "(price - 0.005) * quantity / 3",
            "-price",
            "price - line_number * 0.1 + quantity",
            "price / 3 * 3",
        ]
    ),
)
def test_computed_values_are_exact(rows: list[tuple[Decimal, int, int]], expression: str) -> None:
    """A computed value is the exact result, rounded once, half up; what does not fit or cannot be is a rejection."""
    from fractions import Fraction

    contract = contract_with(
        {"rules": [], "columns": {"price": {"min": None}, "quantity": {"min": None}, "total_cost": {"compute": expression}}}
    )
    header = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,line_number"
    lines = [f"1,2,Tea,2026-03-01,7,{price},{quantity},{number}" for price, quantity, number in rows]
    found = read("\n".join([header, *lines]), "a.csv", contract, block_bytes=100)
    computed = {row["source_row"]: row["total_cost"] for row in found.rows}
    for number, (price, quantity, line_number) in enumerate(rows, 1):
        names = {"price": Fraction(price), "quantity": Fraction(quantity), "line_number": Fraction(line_number)}
        try:
            exact = eval(expression.replace("0.005", "Fraction('0.005')").replace("0.1", "Fraction('0.1')"), {"Fraction": Fraction}, names)
        except ZeroDivisionError:
            assert found.codes[number] == "compute:total_cost"
            continue
        cents = (abs(exact) * 100 * 2 + 1) // 2
        value = (Decimal(int(cents)) * (-1 if exact < 0 else 1)).scaleb(-2).quantize(CENT, ROUND_HALF_UP)
        if abs(value) >= 10**16:
            assert found.codes[number] == "range:total_cost"
        else:
            assert computed[number] == value
