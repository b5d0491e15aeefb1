r"""One file in, its clean rows and its rejections out: streaming, in bounded memory, whatever the bytes are.

A file ends in one of three ways:

- `loaded`: it was read to its end. Each of its rows was accepted or rejected, and `read = accepted + rejected`.
- `rejected`: the file cannot be used as a whole; `reason` begins with the code. Sometimes this is known only at the end
  (a gzip stream that breaks off, too many rejected rows), so the caller throws away the batches it was given before.
- `empty`: there is nothing in it, or only a header.

>>> import tempfile
>>> from salesmart_assets.contracts import load_contracts
>>> header = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "till.csv")
...     lines = [header, "1,121,Tea,2026-03-01,7,1.50,2,3.00", "1,121,Tea,2026-02-30,7,1e3,2,3.00"]
...     _ = path.write_text("\n".join(lines))
...     reader = FileReader(path, "till.csv", load_contracts()["sales"])
...     for batch in reader:
...         print(batch.accepted.num_rows, batch.rejections.to_pylist())
1 [{'source_row': 2, 'codes': 'format:sales_date,type:price', 'raw': '1,121,Tea,2026-02-30,7,1e3,2,3.00'}]
>>> reader.summary.outcome, reader.summary.rows_read, reader.summary.rows_accepted, reader.summary.rows_rejected
('loaded', 2, 1, 1)

Belongs here: putting the formats, the judge and the account together. What the codes mean stands in `codes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from salesmart_assets.contracts import Contract
from salesmart_assets.ingest.content import Content, FileRejected
from salesmart_assets.ingest.delimited import Delimited
from salesmart_assets.ingest.json_lines import JsonLines
from salesmart_assets.ingest.judge import Judge
from salesmart_assets.ingest.parquet import Parquet
from salesmart_assets.ingest.rows import Flags, Places, Rows, nulls

_REJECTION: dict[str, pa.DataType] = {"source_row": pa.int64(), "codes": pa.string(), "raw": pa.string()}
REJECTIONS = pa.schema(_REJECTION)
"""Columns of a rejection: number of the row, its codes separated by commas, its text."""


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """A bounded slice of a file.

    `rows`: the contract's columns in their types, `additional_columns` (JSON or NULL) and `source_row`, of all rows that could
    be read; `chosen` says which of them are accepted, None that all are. `rejections`: see `REJECTIONS`. Both ascend by
    `source_row`, the number of the row in the file: the first row after the header is 1, blank lines do not count, rejected
    rows do.
    """

    rows: pa.Table
    chosen: Flags | None
    rejections: pa.Table

    @property
    def accepted_rows(self) -> int:
        """How many rows are accepted."""
        return self.rows.num_rows if self.chosen is None else int(np.count_nonzero(self.chosen))

    @property
    def accepted(self) -> pa.Table:
        """The accepted rows. Who needs few columns of them, or chooses among them anyway, saves time with `rows` and `chosen`."""
        return self.rows if self.chosen is None else self.rows.filter(pa.array(self.chosen))


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What came of a file: `rows_read = rows_accepted + rows_rejected`, always.

    `outcome` is `loaded`, `rejected` or `empty`; `reason`, for a rejected file, is `code: sentence` and holds no values
    of rows. `format` is `csv`, `json` or `parquet`, with `.gz` where compressed. `header` gives the names in the file.
    Of a rejected file, `rows_read` are the rows that had been read when it was given up, and all of them are rejected.
    """

    outcome: str
    reason: str | None
    format: str
    header: tuple[str, ...]
    rows_read: int
    rows_accepted: int
    rows_rejected: int


def accepted_schema(contract: Contract) -> pa.Schema:
    """The schema of `ParsedBatch.rows`."""
    columns: list[Any] = [column.arrow for column in contract.table_columns()]
    columns += [pa.field("additional_columns", pa.string()), pa.field("source_row", pa.int64())]
    return pa.schema(columns)


class FileReader:
    """Reads one file by its source's contract: iterate over it, then ask for its `summary`.

    `path` is a local file; `name` is the object's name, a hint where the content leaves the format open. `block_bytes`
    bounds the memory (some ten times as much) and changes no result. Raises `ContractError` where the contract cannot be
    applied, and OSError where the file cannot be read from disk; whatever is wrong with the file itself is in the summary.
    """

    def __init__(self, path: Path, name: str, contract: Contract, *, block_bytes: int = 4 << 20) -> None:
        self._path = path
        self._name = name
        self._contract = contract
        self._block_bytes = block_bytes
        self._judge = Judge(contract)
        self._schema = accepted_schema(contract)
        self._summary: FileSummary | None = None

    @property
    def summary(self) -> FileSummary:
        """What came of the file. Raises RuntimeError before the iteration has ended."""
        if self._summary is None:
            raise RuntimeError(f"{self._name}: a file's summary is known when all of its batches have been taken")
        return self._summary

    def __iter__(self) -> Iterator[ParsedBatch]:
        self._summary = None
        read = rejected = 0
        reason: str | None = None
        rows: Delimited | JsonLines | Parquet | None = None
        with closing(Content(self._path, self._name)) as content:
            try:
                content.open(self._contract)
                rows = self._rows(content)
                for part in rows:
                    batch = self._batch(part)
                    read += batch.accepted_rows + batch.rejections.num_rows
                    rejected += batch.rejections.num_rows
                    yield batch
                self._limit(read, rejected)
            except FileRejected as given_up:
                reason = str(given_up)
            if isinstance(rows, Parquet) and reason is not None:
                read = max(read, rows.rows_in_file)
        header = rows.header.names if rows is not None and rows.header is not None else ()
        if reason is not None:
            self._summary = FileSummary("rejected", reason, content.kind, header, read, 0, read)
        else:
            self._summary = FileSummary("loaded" if read else "empty", None, content.kind, header, read, read - rejected, rejected)

    def _limit(self, read: int, rejected: int) -> None:
        ratio, number = self._contract.max_rejected_ratio, self._contract.max_rejected_rows
        if read and rejected / read > ratio:
            limit = f"a share of {ratio:g}"
        elif number is not None and rejected > number:
            limit = f"{number}"
        else:
            return
        raise FileRejected("file.too_many_rejections", f"{rejected} of {read} rows broke the contract, which allows {limit}")

    def _rows(self, content: Content) -> Delimited | JsonLines | Parquet:
        if content.format == "parquet":
            return Parquet(self._path, self._contract, self._block_bytes)
        if content.format == "json":
            return JsonLines(content.stream, self._contract, self._block_bytes)
        return Delimited(content.stream, self._contract, self._block_bytes)

    def _batch(self, rows: Rows) -> ParsedBatch:
        verdict, count = self._judge.judge(rows), len(rows.numbers)
        places = np.array(sorted(verdict.codes), np.int64)
        chosen = None
        if len(places):
            chosen = np.ones(count, np.bool_)
            chosen[places] = False
        additional = nulls(count, pa.string()) if rows.additional is None else rows.additional
        read = pa.Table.from_arrays([*verdict.columns, additional, pa.array(rows.numbers, pa.int64())], schema=self._schema)
        return ParsedBatch(read, chosen, _rejections(rows, places, verdict.codes))


def _rejections(rows: Rows, places: Places, codes: dict[int, list[str]]) -> pa.Table:
    """The rejections of the rows in `places`, which could be read, and of the broken ones."""
    if not len(places) and not rows.broken:
        return REJECTIONS.empty_table()
    numbers = np.concatenate([rows.numbers[places], np.array([item.source_row for item in rows.broken], np.int64)])
    told = [codes[place] for place in places.tolist()] + [item.codes for item in rows.broken]
    texts = [*rows.raw(places), *(item.raw for item in rows.broken)]
    columns = [pa.array(numbers), pa.array([",".join(item) for item in told], pa.string()), pa.array(texts, pa.string())]
    found = pa.Table.from_arrays(columns, schema=REJECTIONS)
    return found.take(np.argsort(numbers)) if rows.broken else found
