"""What was rejected: rows from the lake, whole files from the ledger."""

from __future__ import annotations

from datetime import date

from salesmart_assets.batch.platform import Platform
from salesmart_assets.contracts.tables import REJECTED_ROWS

_SHOWN = ("source", "batch_date", "source_file", "source_row", "codes", "raw")


def listed(platform: Platform, source: str | None = None, batch_date: date | None = None) -> list[dict[str, object]]:
    """Rejected rows and files of a source and batch date, or of all: newest batch first, then by file and row.

    A file that was rejected whole has no row number and no text; its code is that of the file.
    """
    snapshot = platform.lake.snapshot(REJECTED_ROWS.name)
    if source is not None:
        snapshot = snapshot.only("source", [source])
    if batch_date is not None:
        snapshot = snapshot.only("batch_date", [batch_date.isoformat()])
    rows = snapshot.scan().select(_SHOWN).sort("source_file", "source_row").collect().to_dicts()
    for file in platform.ledger.files(source=source, batch_date=batch_date, live_only=True):
        if file.outcome in ("rejected", "given_up"):
            code = (file.reason or "file.unknown").split(":", 1)[0] if file.outcome == "rejected" else "file.given_up"
            origin = {"source": file.source, "batch_date": file.batch_date, "source_file": file.address}
            rows.append({**origin, "source_row": None, "codes": code, "raw": None})
    return sorted(rows, key=lambda r: r["batch_date"] or date.min, reverse=True)
