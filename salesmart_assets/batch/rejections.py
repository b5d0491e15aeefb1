"""What was rejected: rows from the lake, whole files from the ledger; with personal data hidden, unless it is asked for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.replay import replayed_rows
from salesmart_assets.contracts import HIDDEN, Contract
from salesmart_assets.contracts.tables import REJECTED_ROWS
from salesmart_assets.ingest.json_lines import pairs_of, render
from salesmart_assets.ingest.quoting import End, scan, split

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
    platform: Platform, source: str | None = None, batch_date: date | None = None, *, replayed: bool = False, whole: bool = False
) -> list[dict[str, Any]]:
    """Rejected rows and files of a source and batch date, or of all: newest batch first, then by file and row.

    A file that was rejected whole has no row number and no text; its code is that of the file. Texts are those of the file, but
    for personal data, which is hidden unless they are wanted `whole`.
    """
    rows = rejected_rows(platform, source, batch_date, replayed=replayed).to_dicts()
    headers: dict[int, tuple[str, ...]] = {}
    for row in rows:
        file_id = row.pop("file_id")
        contract = platform.contracts[row["source"]]
        if not whole and any(column.pii for column in contract.columns.values()):
            if file_id not in headers:
                headers[file_id] = tuple(json.loads(platform.ledger.file(file_id).header or "[]"))
            row["raw"] = without_personal_data(row["raw"], headers[file_id], contract)
    for file in platform.ledger.files(source=source, batch_date=batch_date, live_only=True):
        if file.outcome in ("rejected", "given_up"):
            code = (file.reason or "file.unknown").split(":", 1)[0] if file.outcome == "rejected" else "file.given_up"
            origin = {"source": file.source, "batch_date": file.batch_date, "source_file": file.address}
            rows.append({**origin, "source_row": None, "codes": code, "raw": None})
    return sorted(rows, key=lambda r: r["batch_date"] or date.min, reverse=True)


def without_personal_data(raw: str, header: Sequence[str], contract: Contract) -> str:
    """A row's text with `•••` for each value that may be personal: of a column that the contract calls so, or does not name.

    A text that can't be taken apart into the file's columns is hidden whole. Empty values stay empty: that somebody left one out
    is no personal data, and may be why the row was rejected.
    """
    spellings = contract.spellings()
    shown = {name for name, column in contract.columns.items() if not column.pii}

    def is_shown(name: str, value: object) -> bool:
        return value in ("", None) or spellings.get(name.strip().lower()) in shown

    if raw.lstrip(" \t").startswith("{"):
        pairs = pairs_of(raw)
        if pairs is None:
            return HIDDEN
        texts = (f"{json.dumps(n, ensure_ascii=False)}:{render(v) if is_shown(n, v) else render(HIDDEN)}" for n, v in pairs)
        return "{" + ",".join(texts) + "}"
    record, delimiter = raw.encode(), contract.delimiter.encode()
    found = scan(record, delimiter)
    if found.end is not End.COMPLETE or found.values != len(header):
        return HIDDEN
    line = io.StringIO()
    values = [value.decode() for value in split(record, delimiter)]
    shortened = [value if is_shown(name, value) else HIDDEN for name, value in zip(header, values, strict=True)]
    csv.writer(line, delimiter=contract.delimiter, lineterminator="").writerow(shortened)
    return line.getvalue()
