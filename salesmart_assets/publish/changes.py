"""What has to be written to make of the rows that stand in the database those of the lake: only what differs.

Rows are told apart by a hash of 64 bits over all their values: that two different ones of a million have the same happens
once in tens of millions of publications.

Belongs here: comparing rows. Does not belong here: SQL.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from salesmart_assets.contracts import Table
from salesmart_assets.publish.rows import checksums

CHECKSUM = "checksum"


@dataclass(frozen=True, slots=True)
class Changes:
    """How a slice's rows become others: `gone` are taken out, `fresh` put in; a row with another value is in both.

    Of `gone` the keys are there at least. `keys` are those of all rows in question, each once.
    """

    keys: pa.Table
    gone: pa.Table
    fresh: pa.Table


def changes_since(table: Table, earlier: pa.Table, rows: pa.Table) -> Changes:
    """What changed from the `earlier` rows to `rows`."""
    return _changes(table, earlier, earlier, rows, rows)


def changes_by_checksum(table: Table, standing: pa.Table, rows: pa.Table) -> Changes:
    """What makes of the rows that stand in the database `rows`; `standing` has their keys and their `CHECKSUM`."""
    known = rows.select(list(table.key)).append_column(CHECKSUM, checksums(table, rows))
    return _changes(table, standing, standing, rows, known)


def _changes(table: Table, old: pa.Table, standing: pa.Table, new: pa.Table, wanted: pa.Table) -> Changes:
    before, after = _hashes(standing), _hashes(wanted)
    gone = old.filter((~before.is_in(after.implode())).to_arrow())
    fresh = new.filter((~after.is_in(before.implode())).to_arrow())
    key = list(table.key)
    return Changes(pa.concat_tables([gone.select(key), fresh.select(key)]).group_by(key).aggregate([]), gone, fresh)


def _hashes(rows: pa.Table) -> pl.Series:
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    return frame.hash_rows()
