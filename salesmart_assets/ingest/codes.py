"""Every reason for which a row or a file is rejected: its stable code, what it means and what to do.

A row's code is `KIND:COLUMN` (`scale:price`), `row.KIND` (`row.ragged`) or `row.NAME` with the name of one of the
contract's row rules (`row.total_mismatch`). A file's code is `file.KIND`. Codes never change their meaning: dashboards,
alerts and replays rest on them. Nothing here decides anything; it only names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from salesmart_assets.contracts import Contract


@dataclass(frozen=True, slots=True)
class Code:
    """A rule's code. `meaning` and `remedy` are sentences; `{column}` in them stands for the column's name."""

    name: str
    meaning: str
    remedy: str


def _registry(*codes: Code) -> Mapping[str, Code]:
    return MappingProxyType({code.name: code for code in codes})


COLUMN_CODES = _registry(
    Code("null", "{column} is empty, and the contract wants a value in every row.", "Deliver the value, or set `nullable: true`."),
    Code("type", "{column} is not a value of the column's type.", "Write plain digits, without exponents or thousands separators."),
    Code("scale", "{column} has more decimal places than the column keeps.", "Round it at the source, or widen the type in the contract."),
    Code("range", "{column} is outside of what the column can hold.", "Correct the value, or widen the type in the contract."),
    Code("format", "{column} is no date (or time) in any of the column's formats.", "Correct it, or add its pattern to `date_formats`."),
    Code("compute", "{column} is computed, and that would divide by zero.", "Correct the columns that it is computed from, or deliver it."),
    Code("min", "{column} is below the contract's minimum.", "Correct the value, or lower `min` in the contract."),
    Code("max", "{column} is above the contract's maximum.", "Correct the value, or raise `max` in the contract."),
    Code("pattern", "{column} does not match the contract's pattern.", "Correct the value, or the `pattern` in the contract."),
    Code("values", "{column} is none of the values that the contract lists.", "Correct the value, or add it to `values` in the contract."),
)
"""Rules over one column; in a rejection the code is followed by `:` and the column."""

ROW_CODES = _registry(
    Code("row.ragged", "The row has more or fewer values than the header has names.", "Quote values that hold the delimiter."),
    Code(
        "row.quote", "A quote is opened and never closed, or closed in the middle of a value.", "Double each quote inside a quoted value."
    ),
    Code("row.encoding", "The row is not text in the file's encoding.", "Deliver UTF-8, or declare `encoding` in the contract."),
    Code("row.nul_byte", "The row holds a NUL byte.", "Look for an interrupted copy or a binary column at the source."),
    Code("row.json", "The line is not one whole JSON object.", "Write one object a line, each name once, and no NaN or Infinity."),
    Code(
        "row.too_long", "The row is longer than 4 MiB; only its beginning is kept.", "Look for a lost line end, or a file of another kind."
    ),
)
"""Rules over a row that hold for every contract."""

FILE_CODES = _registry(
    Code("file.unreadable", "The content is not readable CSV, JSON lines or Parquet.", "Deliver one of the three, plain or gzip."),
    Code("file.truncated", "The content ends too early.", "Upload the file again, whole."),
    Code("file.encoding", "The text is not in the encoding that the contract declares or allows.", "Deliver UTF-8, or declare `encoding`."),
    Code("file.delimiter", "The header is separated by another sign than the contract's delimiter.", "Correct the file, or the contract."),
    Code("file.header", "The first line cannot be read as a header.", "Deliver the names of the columns in the first line."),
    Code(
        "file.missing_column", "A mandatory column is not in the file.", "Deliver it, add an alias, or set `on_missing_column: fill_null`."
    ),
    Code("file.extra_column", "The file has a column that the contract does not name.", "Remove it, or set `on_extra_column: keep`."),
    Code("file.duplicate_column", "Two columns of the file have the same meaning.", "Deliver each column once."),
    Code(
        "file.too_many_rejections",
        "More of its rows broke the contract than it allows.",
        "Correct the file, or raise `max_rejected_ratio` or `max_rejected_rows`.",
    ),
)
"""Rules over a whole file."""


def explain(code: str, contract: Contract | None = None) -> str:
    """The sentences for a code: what it means and what to do. `contract` gives the messages of its row rules.

    >>> explain("scale:price")
    'price has more decimal places than the column keeps. Round it at the source, or widen the type in the contract.'
    >>> explain("row.ragged")
    'The row has more or fewer values than the header has names. Quote values that hold the delimiter.'

    Raises KeyError for a code that does not exist.
    """
    return " ".join(_sentences(code, contract))


def meaning(code: str, contract: Contract | None = None) -> str:
    """Of the sentences for a code the one that says what it means.

    >>> meaning("null:price")
    'price is empty, and the contract wants a value in every row.'

    Raises KeyError for a code that does not exist.
    """
    return _sentences(code, contract)[0]


def _sentences(code: str, contract: Contract | None) -> tuple[str, str]:
    for rule in contract.rules if contract is not None else ():
        if code == f"row.{rule.name}":
            return f"{rule.message[:1].upper()}{rule.message[1:].rstrip('.')}.", "Correct the row at the source."
    kind, _, column = code.partition(":")
    known = COLUMN_CODES[kind] if column else (ROW_CODES.get(code) or FILE_CODES[code])
    return known.meaning.replace("{column}", column), known.remedy
