"""The monthly report as an Excel workbook: every row behind the page's figures, to be filtered, sorted and added up.

Belongs here: which sheets and columns there are, and how a value becomes a cell. What is masked on the page is masked here:
customers show by number and initials, without address, telephone number or coupon code; sellers are named, because the
workbook says who earns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import polars as pl

from salesmart_assets.reports.figures import first_of_month, next_month, of_month
from salesmart_assets.reports.page import Frames, currency_sign, masked, number, plural, printable

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

ROWS_SHOWN = 25_000
"""Most rows of a sheet: so many take three seconds in each run that touches the month. Whoever needs more has the marts."""
_EXACT_BELOW = {"money": 10**13}
_EXACT_WHOLE_BELOW = 10**15
"""Excel's numbers are binary fractions: in one survive fifteen decimal digits, two of them behind the point in an amount."""
_MOST_SIGNS = 16_000
"""Excel takes 32,767 units of UTF-16 in a cell: so many signs always fit."""
_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\n")
_NARROWEST, _WIDEST = 9, 60
_ARROW = 3
"""Width of the filter's button beside a title."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a sheet: its title, the kind of its cells, and how its value is made from the table's."""

    title: str
    name: str
    kind: str = "count"
    change: Callable[[Any], Any] = lambda value: value


_SALES_TEAM = (
    _Column("Store", "store_id", "id"),
    _Column("Seller", "sales_person_id", "id"),
    _Column("Full name", "full_name", "text"),
    _Column("Manager", "manager_id", "id"),
    _Column("Manager's name", "manager_name", "text"),
    _Column("Total sales", "total_sales", "money"),
    _Column("Number of sales", "number_of_sales"),
    _Column("Rank in store", "rank_in_store"),
    _Column("Incentive", "incentive", "money"),
)
_CUSTOMERS = (
    _Column("Customer", "customer_id", "id"),
    _Column("Initials", "full_name", "text", masked),
    _Column("Total sales", "total_sales", "money"),
    _Column("Change on month before", "change_on_month_before", "money"),
    _Column("Receipts", "orders"),
    _Column("Active days", "active_days"),
    _Column("Average basket", "average_basket", "money"),
    _Column("First purchase", "first_purchase", "date"),
    _Column("Last purchase", "last_purchase", "date"),
    _Column("Segment", "segment", "text"),
    _Column("Coupon", "coupon_percent", "percent", lambda percent: None if percent is None else Decimal(percent) / 100),
    _Column("Coupon valid until", "coupon_expiry", "date"),
)
_MANAGERS = (
    _Column("Manager", "manager_id", "id"),
    _Column("Full name", "full_name", "text"),
    _Column("Direct sales", "direct_sales", "money"),
    _Column("Team sales", "team_sales", "money"),
    _Column("Number of sales", "number_of_sales"),
    _Column("Sellers in team", "team_size"),
)
_DAYS = (
    _Column("Day", "sales_date", "date"),
    _Column("Total sales", "total_sales", "money"),
    _Column("Number of sales", "number_of_sales"),
    _Column("Units", "units"),
)


def monthly_workbook(frames: Frames, month: date, *, currency: str) -> bytes:
    """The workbook of the month in which the day `month` lies, as its figures are now; same figures, same bytes."""
    from xlsxwriter import Workbook

    month = first_of_month(month)
    content = BytesIO()
    # Made in memory, the parts of the file carry one fixed time. No text is ever looked at for what it might be.
    book = Workbook(content, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False})
    book.set_properties(
        {
            "title": f"Monthly report {month:%Y-%m}",
            "author": "salesmart",
            # The time at which it was made would make two workbooks of the same figures differ.
            "created": datetime.combine(next_month(month) - timedelta(days=1), datetime.min.time()),
        }
    )
    cells = _Cells.of(book, currency)
    for title, table, columns, order in (
        ("Sales team", "sales_team_mart", _SALES_TEAM, ("store_id", "rank_in_store", "sales_person_id")),
        ("Customers", "customer_mart", _CUSTOMERS, ("-total_sales", "customer_id")),
        ("Managers", "manager_mart", _MANAGERS, ("-team_sales", "manager_id")),
    ):
        rows = of_month(frames, table, month)
        found = rows.sort([name.lstrip("-") for name in order], descending=[name.startswith("-") for name in order]).collect()
        _fill(book.add_worksheet(title), cells, columns, found, table)
    _fill(book.add_worksheet("Days"), cells, _DAYS, _days(frames, month), "daily_seller_sales")
    book.close()
    return content.getvalue()


def _days(frames: Frames, month: date) -> pl.DataFrame:
    """Every day of the month; 0 on days without sales."""
    last = next_month(month) - timedelta(days=1)
    sums = ("total_sales", "number_of_sales", "units")
    sold = frames("daily_seller_sales").filter(pl.col("sales_date").is_between(month, last))
    days = pl.LazyFrame({"sales_date": pl.date_range(month, last, eager=True)})
    by_day = sold.group_by("sales_date").agg(pl.col(name).sum() for name in sums)
    return (
        days.join(by_day, on="sales_date", how="left").with_columns(pl.col(name).fill_null(0) for name in sums).sort("sales_date").collect()
    )


@dataclass(frozen=True, slots=True)
class _Cells:
    """How cells look, by the kind of their column."""

    title: Format
    number_title: Format
    note: Format
    formats: dict[str, Format]
    quoted: Format

    @classmethod
    def of(cls, book: Workbook, currency: str) -> _Cells:
        sign = currency_sign(currency).replace('"', "")
        amount = f'"{sign}"#,##0.00' if sign else "#,##0.00"
        kinds = {"id": "0", "count": "#,##0", "money": amount, "percent": "0%", "date": "yyyy-mm-dd", "text": "@"}
        head = {"bold": True, "bg_color": "#E3EFEB", "bottom": 1, "bottom_color": "#1C7C66"}
        return cls(
            book.add_format(head),
            book.add_format({**head, "align": "right"}),
            book.add_format({"italic": True, "font_color": "#66706B"}),
            {kind: book.add_format({"num_format": shown}) for kind, shown in kinds.items()},
            # Excel reads a text again when somebody edits its cell: this mark keeps it a text then, too.
            book.add_format({"num_format": "@", "quote_prefix": True}),
        )

    def write(self, sheet: Worksheet, row: int, place: int, kind: str, value: Any) -> None:
        """Put a value into a cell as what it is: a number, a date or a text, never a formula or a link; nothing for none."""
        if value is None:
            return
        if kind == "date":
            sheet.write_datetime(row, place, value, self.formats["date"])
        elif kind == "text" or abs(value) >= _EXACT_BELOW.get(kind, _EXACT_WHOLE_BELOW):
            # A longer number becomes a text rather than another number.
            text = _text(value)
            sheet.write_string(row, place, text, self.quoted if text.startswith(_FORMULA_BEGINS) else self.formats["text"])
        else:
            sheet.write_number(row, place, value, self.formats[kind])


def _fill(sheet: Worksheet, cells: _Cells, columns: Sequence[_Column], rows: pl.DataFrame, table: str) -> None:
    """One table on one sheet: titles that stay in sight and filter, then a row each."""
    shown = rows.head(ROWS_SHOWN)
    for place, column in enumerate(columns):
        sheet.write_string(0, place, column.title, cells.title if column.kind == "text" else cells.number_title)
        values = [column.change(value) for value in shown[column.name]]
        for row, value in enumerate(values, 1):
            cells.write(sheet, row, place, column.kind, value)
        width = max(len(column.title) + _ARROW, _width(column.kind, [value for value in values if value is not None]))
        sheet.set_column(place, place, min(max(width + 1, _NARROWEST), _WIDEST))
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, max(len(shown), 1), len(columns) - 1)
    if len(rows) > len(shown):
        sheet.write_string(len(shown) + 2, 0, f"And {plural(len(rows) - len(shown), 'more', 'more')} in {table}.", cells.note)
    # On paper: A4 across, all columns on one page, the titles on each.
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def _text(value: object) -> str:
    """A text that a cell can hold."""
    text = printable(str(value))
    if len(text) > _MOST_SIGNS:
        text = text[: _MOST_SIGNS - 1] + "\N{HORIZONTAL ELLIPSIS}"
    # XlsxWriter takes such a text for markup of its own, and would write it unescaped.
    return f"{text} " if text.startswith("<r>") and text.endswith("</r>") else text


def _width(kind: str, values: Sequence[Any]) -> int:
    """How wide the values of a column are in their cells, in digits."""
    if kind == "text":
        return max((sum(2 if east_asian_width(sign) in "WF" else 1 for sign in value[:_WIDEST]) for value in set(values)), default=0)
    if kind == "date" or not values:
        return 10
    # The sign of the currency takes some room.
    return max(len(number(value)) for value in (min(values), max(values))) + (2 if kind == "money" else 0)
