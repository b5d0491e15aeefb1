"""From what the generator knows to what a contract asks for: the columns of a file, in the contract's order."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from salesmart_assets.contracts import Contract, ContractColumn
from salesmart_assets.errors import UsageError
from salesmart_assets.generate.arrow import Array, array, batch_of


def conform(known: Mapping[str, Array], contract: Contract) -> pa.RecordBatch:
    """The contract's columns of `known`, in the contract's order.

    An optional column that the generator does not know is left out; a required one is filled with one value that the contract
    allows. Raises `UsageError` when the contract gives no such value (a pattern).
    """
    rows = len(next(iter(known.values())))
    columns: dict[str, Array] = {}
    for name, column in contract.columns.items():
        if name in known:
            columns[name] = known[name]
        elif column.required:
            columns[name] = _filling(name, column, contract.source, rows)
    return batch_of(columns)


def _filling(name: str, column: ContractColumn, source: str, rows: int) -> Array:
    if column.pattern is not None and not column.values:
        raise UsageError(
            f"no data can be generated for the column {name!r} of {source}: a pattern does not say which values are right. "
            f"Give its contract `values`, or make it optional."
        )
    fallback = {"date": "2010-01-01", "timestamp": "2010-01-01T00:00:00Z", "boolean": "false", "string": name}.get(column.type, "1")
    text = (*column.values, column.min, fallback)[0] or fallback
    return array([text]).cast(column.column_type.arrow).take(array([0] * rows, pa.int32()))
