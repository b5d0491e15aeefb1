"""Faults planted in sales rows, so that what checks the files has something to find.

Some can be expressed in typed columns (a NULL, a wrong total) and are planted before a file is written; others exist only as
text (a date that is none, a row cut short) and are planted while CSV or JSON is written. Which rows, and which fault, is a pure
function of (seed, day, block, ratio).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from salesmart_assets.contracts import Contract
from salesmart_assets.generate.arrow import Array, array, batch_of, buffer, columns_of, plain, with_values
from salesmart_assets.generate.chance import Ints, bits, words
from salesmart_assets.generate.world import money

UNKNOWN_SELLERS = 990_001
"""First seller number that no sales team has."""
UNKNOWN_CUSTOMERS = 990_000_001
"""First customer number that no file of customers has."""

_TYPED: dict[str, tuple[str, ...]] = {
    "NULL in a mandatory column": (),
    "negative price": ("price", "total_cost"),
    "wrong total": ("total_cost",),
    "quantity of zero": ("quantity", "total_cost"),
    "unknown seller": ("sales_person_id",),
    "unknown customer": ("customer_id",),
}
BAD_DATE, TEXT_IN_QUANTITY, CUT_SHORT, TOO_LONG = "impossible date", "text in quantity", "row cut short", "row too long"
_TEXT: dict[str, tuple[str, ...]] = {BAD_DATE: ("sales_date",), TEXT_IN_QUANTITY: ("quantity",), CUT_SHORT: (), TOO_LONG: ()}
NOT_A_CONTRACT_FAULT = frozenset({"unknown seller", "unknown customer"})
"""Faults that a contract lets pass: the fact keeps such rows with the unknown member's key."""
_SPOILT_CELLS = {BAD_DATE: ("sales_date", "2026-13-45"), TEXT_IN_QUANTITY: ("quantity", "two")}

FaultPlan: TypeAlias = dict[str, Ints]
"""The rows of a block to spoil, by the fault's name."""


def choose(seed: int, day: int, block: int, rows: int, ratio: float, names: list[str], *, as_text: bool) -> FaultPlan:
    """Which of a block's rows get which fault. `names` are the file's columns; `as_text` allows the faults of text files."""
    kinds = {**_TYPED, **(_TEXT if as_text else {})}
    possible = [kind for kind, needs in kinds.items() if set(needs) <= set(names)]
    word = words(seed, "fault", day, block, rows)
    chosen = np.flatnonzero(bits(word, 0, 32) < round(ratio * 2**32))
    kind = bits(word, 32, 16)[chosen] % len(possible)
    plan = {name: chosen[kind == number] for number, name in enumerate(possible)}
    return {name: places for name, places in plan.items() if len(places)}


def spoil_values(batch: pa.RecordBatch, plan: Mapping[str, Ints], contract: Contract) -> pa.RecordBatch:
    """The batch with the faults of the plan that typed columns can hold."""
    columns = columns_of(batch)

    def put(name: str, places: Ints, change: Callable[[Ints], Ints]) -> None:
        values = plain(columns[name])
        if pa.types.is_decimal(values.type):
            cents = buffer(values, 1, np.int64)[2 * values.offset :: 2][places]
            columns[name] = with_values(values, places, money(change(cents)))
        else:
            columns[name] = with_values(values, places, array(change(places), values.type))

    for kind, places in plan.items():
        if kind == "negative price":
            put("price", places, lambda cents: -cents)
            put("total_cost", places, lambda cents: -cents)
        elif kind == "wrong total":
            put("total_cost", places, lambda cents: cents + 100)
        elif kind == "quantity of zero":
            put("quantity", places, np.zeros_like)
            put("total_cost", places, np.zeros_like)
        elif kind == "unknown seller":
            put("sales_person_id", places, lambda rows: UNKNOWN_SELLERS + rows % 9)
        elif kind == "unknown customer":
            put("customer_id", places, lambda rows: UNKNOWN_CUSTOMERS + rows % 99)
    # Last, because the faults above read the values.
    mandatory = [name for name in columns if name in contract.columns and not contract.columns[name].may_be_null]
    emptied = plan.get("NULL in a mandatory column", np.empty(0, dtype=np.int64))
    for number, name in enumerate(mandatory):
        places = emptied[emptied % len(mandatory) == number]
        if len(places):
            values = plain(columns[name])
            columns[name] = with_values(values, places, array([None] * len(places), values.type))
    return batch_of(columns)


def spoil_cells(names: list[str], texts: list[Array], plan: Mapping[str, Ints], quote: str) -> list[Array]:
    """The cells of a text file with the faults that one cell can hold; `quote` goes around a text."""
    spoilt = list(texts)
    for kind, (name, text) in _SPOILT_CELLS.items():
        if kind in plan:
            column = names.index(name)
            spoilt[column] = with_values(spoilt[column], plan[kind], array([f"{quote}{text}{quote}"] * len(plan[kind])))
    return spoilt


def spoil_rows(rows: Array, plan: Mapping[str, Ints], edits: Mapping[str, Callable[[str], str]]) -> Array:
    """The rows of a text file with the faults that only a whole row can hold."""
    for kind, edit in edits.items():
        if kind in plan:
            rows = with_values(rows, plan[kind], array([edit(str(row)) for row in rows.take(array(plan[kind])).to_pylist()]))
    return rows
