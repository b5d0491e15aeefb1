"""Parsing: one fetched file becomes staged Parquet files and rejections, not yet visible to anybody.

Belongs here: what is done with the bytes of one file. Does not belong here: which files are read, and what is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from salesmart_assets.batch.audits import NOTHING, Totals, totals
from salesmart_assets.contracts import Contract, Table
from salesmart_assets.contracts.tables import REJECTED_ROWS
from salesmart_assets.errors import AuditFailed
from salesmart_assets.ingest.kernel import FileReader
from salesmart_assets.ingest.rows import Array
from salesmart_assets.lake import Lake, NewFile
from salesmart_assets.lake.files import to_json
from salesmart_assets.lake.writer import PartitionWriter
from salesmart_assets.ledger import File, FileResult


@dataclass(frozen=True, slots=True)
class Parsed:
    """What came of a file: the ledger's entry, and the data files that hold its accepted rows until they are committed.

    `kept`: the file was not read again, and what is committed of it stays.
    """

    result: FileResult
    staged: tuple[NewFile, ...]
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Where mended rows came from: the landing address of their file, and their numbers in it, row by row."""

    address: str
    rows: Sequence[int]

    def numbers(self, source_rows: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
        """The numbers in the origin of rows that are counted from 1."""
        return pa.chunked_array([pa.array(self.rows, pa.int64())]).take(pc.subtract(source_rows, 1))


def reader_of(contract: Contract, file: File, path: Path, hint: str | None) -> FileReader:
    """A reader of a file's bytes at `path`. Where the content does not tell its format, `hint` does; without it the file's name."""
    return FileReader(path, f"file.{hint}" if hint else file.key.rsplit("/", 1)[-1], contract)


def parse(
    lake: Lake,
    contract: Contract,
    table: Table,
    file: File,
    path: Path,
    content_hash: str,
    origin: Origin | None = None,
    *,
    hint: str | None = None,
) -> Parsed:
    """Read the file at `path` by its contract and write its rows into `table`'s partitions, under names that nobody reads yet.

    `hint` is that of `reader_of`. `origin` says of mended rows where they came from: they carry that file and their numbers in
    it. Raises `AuditFailed` if other rows were written than were accepted, or if the units or the money of sales are not
    those that were read.
    """
    read = NOTHING
    reader = reader_of(contract, file, path, hint)
    fresh = f"f{file.mark}-{lake.fresh()}"
    with PartitionWriter(lake, table, fresh) as clean, PartitionWriter(lake, REJECTED_ROWS, fresh) as bad:
        for batch in reader:
            if batch.accepted_rows:
                read += Totals.of(batch.rows, batch.chosen) if file.source == "sales" else NOTHING
                clean.write(_located(batch.rows, file, origin).select(table.names), batch.chosen)
            if batch.rejections.num_rows:
                rows = _located(batch.rejections, file, origin)
                rows = rows.append_column("source", pa.repeat(pa.scalar(file.source, pa.string()), rows.num_rows))
                bad.write(rows.select(REJECTED_ROWS.names))
    summary = reader.summary
    # What was written before the file turned out to be unusable stays invisible; upkeep removes it.
    staged, rejected = (clean.files, bad.files) if summary.outcome == "loaded" else ([], [])
    written, kept = (sum(f.rows for f in files) for files in (staged, rejected))
    if summary.outcome == "loaded" and (written, kept) != (summary.rows_accepted, summary.rows_rejected):
        raise AuditFailed(
            f"{file.address}: {summary.rows_accepted} rows were accepted and {summary.rows_rejected} rejected, but {written} and {kept} "
            "were written. Nothing was committed."
        )
    sums = None
    if file.source == "sales" and summary.outcome == "loaded":
        found = sum(totals(lake.uncommitted(table.name, staged)).values(), NOTHING)
        if found != read:
            raise AuditFailed(f"{file.address}: {read} were read, but {found} were written. Nothing was committed.")
        sums = read.to_json()
    result = FileResult(
        file.file_id,
        summary.outcome,
        summary.reason,
        summary.format,
        content_hash,
        rows_read=summary.rows_read,
        rows_accepted=summary.rows_accepted if summary.outcome == "loaded" else 0,
        rows_rejected=summary.rows_rejected,
        rows_staged=written,
        rejected_files=to_json(rejected),
        header=summary.header,
        control_sums=sums,
    )
    return Parsed(result, tuple(staged))


def _located(rows: pa.Table, file: File, origin: Origin | None) -> pa.Table:
    """Rows with the file they came in, and mended rows with their numbers there."""
    if origin is not None:
        place = rows.schema.get_field_index("source_row")
        rows = rows.set_column(place, "source_row", origin.numbers(rows["source_row"]))
    address = file.address if origin is None else origin.address
    rows = rows.append_column("source_file", _repeated(address, rows.num_rows))
    rows = rows.append_column("file_id", pa.repeat(pa.scalar(file.file_id, pa.int64()), rows.num_rows))
    return rows.append_column("batch_date", pa.repeat(pa.scalar(file.batch_date, pa.date32()), rows.num_rows))


def _repeated(text: str, count: int) -> Array:
    """One text in every row, without writing it down that often."""
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count), pa.array([text], pa.string()))
