"""Control totals of sales, from the file to the fact, and the keys of the fact.

They are looked at on files before these become part of a table, and by the checks on what did. Polars adds up here what the
kernel read and what the engine computed, so that neither vouches for itself. Only the columns in question are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from salesmart_assets.contracts.tables import UNKNOWN_KEY
from salesmart_assets.errors import AuditFailed
from salesmart_assets.ingest.rows import Flags
from salesmart_assets.lake import Snapshot

_EXAMPLES = 5
_UNITS, _MONEY = pa.decimal128(38, 0), pa.decimal128(38, 2)


@dataclass(frozen=True, slots=True)
class Totals:
    """Control totals of lines: how many, the units sold, and the sum of `total_cost`, exact."""

    rows: int = 0
    quantity: int = 0
    money: Decimal = Decimal(0)

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.rows + other.rows, self.quantity + other.quantity, self.money + other.money)

    @classmethod
    def of(cls, rows: pa.Table, chosen: Flags | None = None) -> Totals:
        """The totals of typed rows with `quantity` and `total_cost`, of all or of those that are `chosen`."""
        columns: list[Any] = [rows[name] for name in ("quantity", "total_cost")]
        if chosen is not None:
            columns = [column.filter(pa.array(chosen)) for column in columns]
        quantity, money = (pc.sum(column.cast(kind)).as_py() or 0 for column, kind in zip(columns, (_UNITS, _MONEY), strict=True))
        return cls(len(columns[0]), int(quantity), Decimal(money))

    def to_json(self) -> str:
        """The sums as text, as the ledger keeps them."""
        return json.dumps({"quantity": str(self.quantity), "total_cost": f"{self.money:.2f}"})

    @classmethod
    def from_json(cls, rows: int, sums: str) -> Totals:
        """The inverse of `to_json`."""
        found = json.loads(sums)
        return cls(rows, int(found["quantity"]), Decimal(found["total_cost"]))

    def __str__(self) -> str:
        rows, units = ("" if number == 1 else "s" for number in (self.rows, self.quantity))
        return f"{self.rows:,} row{rows}, {self.quantity:,} unit{units}, {self.money:,.2f}"


NOTHING = Totals()
Totalled: TypeAlias = "Mapping[tuple[int, date], Totals]"
"""Control totals by file and sale date."""


def totals(lines: Snapshot) -> Totalled:
    """The control totals of staged lines, or of those in the fact."""
    return added_up(lines.scan())


def added_up(lines: pl.LazyFrame) -> Totalled:
    """The control totals of lines with `file_id`, `sales_date`, `quantity` and `total_cost`; sums can't overflow."""
    found = lines.group_by("file_id", "sales_date").agg(
        pl.len().alias("rows"), pl.col("quantity").cast(pl.Int128).sum(), pl.col("total_cost").cast(pl.Decimal(38, 2)).sum()
    )
    rows = found.collect(engine="streaming").iter_rows()
    return {(file_id, day): Totals(count, int(quantity), money) for file_id, day, count, quantity, money in rows}


def strangers(facts: Snapshot, members: Mapping[str, Snapshot]) -> dict[str, list[int]]:
    """The keys of fact rows that no version in their dimension has, a few of each column; `members` are the dimensions by name."""
    found = {}
    for name, snapshot in members.items():
        key = f"{name.removeprefix('dim_')}_key"
        unheard = facts.scan().select(key).filter(pl.col(key) != UNKNOWN_KEY).join(snapshot.scan().select(key), on=key, how="anti")
        keys = unheard.unique().head(_EXAMPLES).collect(engine="streaming")[key].to_list()
        if keys:
            found[key] = sorted(keys)
    return found


def audit_fact(staged: Snapshot, fresh: Snapshot, losers: Totalled, members: Mapping[str, Snapshot]) -> None:
    """Raise `AuditFailed` unless each file's staged lines are in the fact or duplicates, to the cent, and every key exists."""
    have, want = totals(fresh), totals(staged)
    wrong = [
        at
        for at in sorted(have.keys() | want.keys() | losers.keys())
        if want.get(at, NOTHING) != have.get(at, NOTHING) + losers.get(at, NOTHING)
    ]
    if wrong:
        at = wrong[0]
        raise AuditFailed(
            f"fact_sales: file {at[0]} has {want.get(at, NOTHING)} staged for {at[1]}, but {have.get(at, NOTHING)} were computed and "
            f"{losers.get(at, NOTHING)} are duplicates; {len({file_id for file_id, _ in wrong})} files on {len({day for _, day in wrong})} "
            "dates differ. Nothing was committed."
        )
    unheard = strangers(fresh, members)
    if unheard:
        named = "; ".join(f"{key} {', '.join(map(str, keys))}" for key, keys in unheard.items())
        raise AuditFailed(f"fact_sales: keys that are in no version of their dimension were computed: {named}. Nothing was committed.")
