"""Reading a file in one call, for the tests of the kernel."""

from __future__ import annotations

import gzip
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from salesmart_assets.contracts import Contract, load_contracts
from salesmart_assets.ingest.kernel import FileReader, FileSummary, accepted_schema

SALES = load_contracts()["sales"]
HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
ROW = "1,121,Tea,2026-03-01,7,1.50,2,3.00"
"""A clean row under `HEADER`."""


@dataclass(frozen=True)
class Outcome:
    """All of a file: its clean rows, its rejections as (row, codes, raw), and the summary."""

    accepted: pa.Table
    rejections: list[tuple[int, str, str]]
    summary: FileSummary

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.accepted.to_pylist()

    @property
    def codes(self) -> dict[int, str]:
        return {row: codes for row, codes, _ in self.rejections}

    @property
    def accepted_rows(self) -> list[int]:
        return self.accepted["source_row"].to_pylist()


def read(content: bytes | str | Path, name: str = "file.csv", contract: Contract = SALES, *, block_bytes: int = 8 << 20) -> Outcome:
    """Read bytes, text or a file, and check what holds for every file: schemas, order, and that each row is accounted for once."""
    with tempfile.TemporaryDirectory() as folder:
        path = content if isinstance(content, Path) else Path(folder, "object")
        if not isinstance(content, Path):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        reader = FileReader(path, name, contract, block_bytes=block_bytes)
        batches = list(reader)
    accepted = pa.concat_tables([accepted_schema(contract).empty_table(), *(batch.accepted for batch in batches)])
    accepted.validate(full=True)
    rejections = [(r["source_row"], r["codes"], r["raw"]) for batch in batches for r in batch.rejections.to_pylist()]
    summary = reader.summary
    assert summary.rows_read == summary.rows_accepted + summary.rows_rejected
    numbers = accepted["source_row"].to_pylist(), [row for row, _, _ in rejections]
    assert numbers[0] == sorted(numbers[0])
    assert numbers[1] == sorted(numbers[1])
    if summary.outcome == "loaded":
        assert (summary.rows_accepted, summary.rows_rejected) == (len(numbers[0]), len(numbers[1]))
        assert sorted(numbers[0] + numbers[1]) == list(range(1, summary.rows_read + 1))
    else:
        assert summary.rows_accepted == 0
        assert (summary.reason is not None) == (summary.outcome == "rejected")
    return Outcome(accepted, rejections, summary)


def csv(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    """A CSV file of these rows."""
    return "".join(f"{row}{end}" for row in (header, *rows)).encode()


def zipped(content: bytes) -> bytes:
    """Gzip, without a time in it."""
    return gzip.compress(content, mtime=0)
