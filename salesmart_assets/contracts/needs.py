"""What the warehouse needs of each source, whatever its contract adds: columns, and types that fit the tables made of them.

Belongs here: the least that a contract must promise. Does not belong here: what the packaged contracts promise beyond it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from salesmart_assets.contracts.columns import ColumnType

if TYPE_CHECKING:
    from salesmart_assets.contracts.model import ContractColumn

MONEY_DIGITS, MONEY_SCALE = 18, 2
"""Digits of an amount of money in the tables, and how many of them stand after the decimal sign."""


@dataclass(frozen=True, slots=True)
class Need:
    """A column that the warehouse reads. `kinds`: the types it may have; `money` stands for a decimal that fits DECIMAL(18,2).

    `always`: the contract must have it. `filled`: no row may leave it empty. `days`: the first and the last day that the
    tables can be made of.
    """

    kinds: tuple[str, ...]
    always: bool = True
    filled: bool = False
    days: tuple[date, date] | None = None

    def fits(self, kind: ColumnType) -> bool:
        """Whether a column of this type can be read as what is needed."""
        if "money" in self.kinds and kind.decimal:
            precision, scale = kind.decimal
            return scale <= MONEY_SCALE and precision - scale <= MONEY_DIGITS - MONEY_SCALE
        return kind.name in self.kinds

    @property
    def usual(self) -> str:
        """A type that fits, as a contract writes it."""
        return f'"decimal({MONEY_DIGITS},{MONEY_SCALE})"' if self.kinds == ("money",) else self.kinds[0]


_KEY = Need(("integer",), filled=True)
_NUMBER = Need(("integer",))
_TEXT = Need(("string",))
_MONEY = Need(("money",))
_EFFECTIVE = Need(("date",), always=False)
_SALES_DAYS = date(1678, 1, 1), date(2261, 12, 31)
"""Whole years whose months an engine can reckon with: where it counts nanoseconds, 64 bits hold no more."""

NEEDS: Mapping[str, Mapping[str, Need]] = {
    "sales": {
        "customer_id": _KEY,
        "store_id": _KEY,
        "product_name": Need(("string",), filled=True),
        "sales_date": Need(("date",), filled=True, days=_SALES_DAYS),
        "sales_person_id": _KEY,
        "price": Need(("money",), filled=True),
        "quantity": _KEY,
        "total_cost": Need(("money",), filled=True),
        "product_id": Need(("integer",), always=False),
        "transaction_id": Need(("string", "integer"), always=False),
        "line_number": Need(("integer", "string"), always=False),
    },
    "customers": {
        "customer_id": _KEY,
        "first_name": _TEXT,
        "last_name": _TEXT,
        "address": _TEXT,
        "phone_number": _TEXT,
        "effective_date": _EFFECTIVE,
    },
    "stores": {"store_id": _KEY, "effective_date": _EFFECTIVE},
    "products": {"product_id": _KEY, "name": _TEXT, "price": _MONEY, "cost": _MONEY, "effective_date": _EFFECTIVE},
    "sales_team": {
        "sales_person_id": _KEY,
        "first_name": _TEXT,
        "last_name": _TEXT,
        "manager_id": _NUMBER,
        "effective_date": _EFFECTIVE,
    },
}
"""The columns that the warehouse reads of each source; all others are carried along under their names."""

NATURAL_KEYS = {"customers": "customer_id", "stores": "store_id", "products": "product_id", "sales_team": "sales_person_id"}
"""The column that the sales name a member of each dimension by."""

_ORIGIN = frozenset({"source_file", "source_row", "batch_date", "additional_columns", "file_id"})
_VERSION = _ORIGIN | {"valid_from", "valid_to", "is_current", "is_deleted"}
RESERVED: Mapping[str, frozenset[str]] = {
    "sales": _ORIGIN | {"customer_key", "store_key", "product_key", "sales_person_key", "list_price", "list_cost", "price_variance"},
    "customers": _VERSION | {"customer_key"},
    "stores": _VERSION | {"store_key"},
    "products": _VERSION | {"product_key", "previous_price"},
    "sales_team": _VERSION | {"sales_person_key"},
}
"""Names that the tables made of a source use themselves."""


def shortfall(source: str, columns: Mapping[str, ContractColumn]) -> tuple[tuple[str, ...], str] | None:
    """What the warehouse needs and the columns of a contract do not give: the place in the contract, and a sentence with the fix."""
    for name, need in NEEDS[source].items():
        column = columns.get(name)
        if column is None:
            if need.always:
                near = difflib.get_close_matches(name, columns.keys() - NEEDS[source].keys(), 1, 0.7)
                if near:
                    return ("columns", near[0]), f"the column {name} is missing: did you mean {name}?"
                described = f'{name}: {{type: {need.usual}, required: true, description: "…"}}'
                return ("columns",), f"the column {name} is missing, and the tables cannot do without it: add `{described}`"
            continue
        if not need.fits(column.column_type):
            wanted = " or ".join(need.kinds).replace("money", "decimal with at most 16 digits before the sign and 2 after it")
            return ("columns", name, "type"), f"the tables cannot hold {column.type} here: use {need.usual} ({wanted})"
        if need.filled and column.may_be_null:
            fix = "set `required: true`" if column.nullable is None else "remove `nullable: true`"
            return ("columns", name), f"no row may leave {name} empty, for the tables are kept by it: {fix}, or give it a `default`"
    return None
