"""A report as a page: its parts, how numbers and names are written on it, and the rendering.

A page needs no network and no script: styles and plots are inside, and its content security policy forbids the rest.
Every text that comes from the data is escaped. Personal data of customers is masked; sellers are named on the page,
because it says who earns, and masked in the preview, which people see in passing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Generic, TypeVar

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

T = TypeVar("T")

Frames = Callable[[str], pl.LazyFrame]
"""A lake table by its name: all columns of its schema, partition columns included; empty where nothing is stored."""

_CENT = Decimal("0.01")
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
"""Wide enough for any sum of a table: nothing is rounded but on purpose."""
_MINUS = "\N{MINUS SIGN}"
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#|~])")


@dataclass(frozen=True, slots=True)
class FileLine:
    """A file of the report's batch or month, and what became of it, as the ledger has it."""

    batch_date: date | None
    source: str
    key: str
    status: str
    outcome: str | None
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    rows_duplicate: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """A finished report: `html` is the whole page, `preview` a few lines of Markdown in which all names are masked."""

    html: str
    preview: str


@dataclass(frozen=True, slots=True)
class Shortlist(Generic[T]):
    """The first rows of a list that may be long, and how many more there are."""

    rows: Sequence[T]
    more: int

    @classmethod
    def of(cls, rows: Sequence[T], limit: int) -> Shortlist[T]:
        """The first `limit` of `rows`."""
        return cls(rows[:limit], max(0, len(rows) - limit))


def number(value: int | Decimal) -> str:
    """A count with thousands separators.

    >>> number(1234567)
    '1,234,567'
    """
    return f"{value:,}".replace("-", _MINUS)


def money(value: Decimal, currency: str = "") -> str:
    """An amount with two decimals, thousands separators and the currency's sign in front.

    >>> money(Decimal("1234.5"), "€"), money(Decimal(0))
    ('€1,234.50', '0.00')
    >>> money(Decimal("-2"), "€")
    '−€2.00'
    """
    amount = value.quantize(_CENT, context=_EXACT)
    return f"{_MINUS if amount < 0 else ''}{currency_sign(currency)}{amount.copy_abs():,.2f}"


def currency_sign(currency: str) -> str:
    r"""What stands in front of an amount: a sign close to it, letters with a space.

    >>> currency_sign("€"), currency_sign("CHF")
    ('€', 'CHF\xa0')
    """
    return f"{currency}\N{NO-BREAK SPACE}" if currency and (currency[-1].isalnum() or currency[-1] == ".") else currency


def change(value: Decimal, before: Decimal | None) -> str | None:
    r"""How much `value` is above or below `before`, in percent with a sign; None where there is nothing to compare with.

    >>> change(Decimal(110), Decimal(100))
    '+10.0\xa0%'
    """
    if not before:
        return None
    share = _EXACT.divide(_EXACT.subtract(value, before) * 100, before.copy_abs())
    percent = share.quantize(Decimal("0.1"), context=_EXACT)
    return f"{_MINUS if percent < 0 else '+'}{percent.copy_abs():,}\N{NO-BREAK SPACE}%"


def average(total: Decimal, count: int) -> Decimal | None:
    """total / count, rounded half up to two decimals; None when there is nothing to divide by."""
    return _EXACT.divide(total, Decimal(count)).quantize(_CENT, context=_EXACT) if count else None


def masked(name: str | None) -> str | None:
    """A person's name as initials.

    >>> masked("Anna Maria Smith")
    'A. M. S.'
    """
    initials = [next((sign for sign in word if sign.isalnum()), "") for word in (name or "").split()]
    return " ".join(f"{initial.upper()}." for initial in initials if initial) or None


def moment(value: datetime) -> str:
    """A time in UTC, to the minute; a time without a zone is UTC already."""
    utc = value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)
    return f"{utc:%Y-%m-%d %H:%M} UTC"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "file"), plural(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def markdown(text: object) -> str:
    """A text that stays what it is in Markdown, also in a table's cell."""
    plain = " ".join(_CONTROLS.sub("", str(text)).split())
    return _MARKDOWN.sub(r"\\\1", plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]], numeric: int) -> str:
    """A Markdown table whose last `numeric` columns are aligned to the right."""
    words = len(header) - numeric
    lines = [header, ["---"] * words + ["---:"] * numeric, *([markdown(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def printable(text: str) -> str:
    """A text without the signs that neither a page nor a workbook can hold: control codes of broken files."""
    return _CONTROLS.sub("", text)


def _printable(value: Any) -> Any:
    return printable(value) if type(value) is str else value


_PAGES = Environment(
    loader=PackageLoader("salesmart_assets.reports"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_printable,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters.update(number=number, moment=moment)
_PAGES.globals.update(plural=plural)


def render(template: str, values: Mapping[str, Any], *, currency: str) -> str:
    """The page made from `template` and `values`; amounts on it carry the `currency` sign."""

    def amount(value: Decimal | None) -> str:
        return "\N{EN DASH}" if value is None else money(value, currency)

    return _PAGES.get_template(template).render(values, money=amount)
