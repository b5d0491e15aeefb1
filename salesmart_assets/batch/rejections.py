"""What was rejected: rows from the lake, whole files from the ledger."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.replay import replayed_rows
from salesmart_assets.contracts.tables import REJECTED_ROWS

_SHOWN = ("source", "batch_date", "source_file", "source_row", "codes", "raw")


def rejected_rows(platform: Platform, source: str | None = None, batch_date: date | None = None, *, replayed: bool = False) -> pl.DataFrame:
    """Rejected rows by file and row: what is shown of them, and the `file_id` of the file that held them.

    Rows that were mended and replayed are left out, unless `replayed`; what is wrong with a mended row is there in its place.
    """
    snapshot = platform.lake.snapshot(REJECTED_ROWS.name)
    if source is not None:
        snapshot = snapshot.only("source", [source])
    if batch_date is not None:
        snapshot = snapshot.only("batch_date", [batch_date.isoformat()])
    rows = snapshot.scan().select(*_SHOWN, "file_id").sort("source_file", "source_row", "file_id").collect()
    if replayed or rows.is_empty():
        return rows
    mended = replayed_rows(platform, source, batch_date)
    return rows.join(mended, left_on=["file_id", "source_row"], right_on=["origin", "source_row"], how="anti", maintain_order="left")


def listed(
    platform: Platform, source: str | None = None, batch_date: date | None = None, *, replayed: bool = False
) -> list[dict[str, Any]]:
    """Rejected rows and files of a source and batch date, or of all: newest batch first, then by file and row.

    A file that was rejected whole has no row number and no text; its code is that of the file.
    """
    rows = rejected_rows(platform, source, batch_date, replayed=replayed).select(_SHOWN).to_dicts()
    for file in platform.ledger.files(source=source, batch_date=batch_date, live_only=True):
        if file.outcome in ("rejected", "given_up"):
            code = (file.reason or "file.unknown").split(":", 1)[0] if file.outcome == "rejected" else "file.given_up"
            origin = {"source": file.source, "batch_date": file.batch_date, "source_file": file.address}
            rows.append({**origin, "source_row": None, "codes": code, "raw": None})
    return sorted(rows, key=lambda r: r["batch_date"] or date.min, reverse=True)
