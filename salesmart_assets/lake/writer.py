"""Writing rows into the partitions of a table: Parquet files with names of their own, which nobody reads before they are committed.

Belongs here: which row goes into which file, and how it is stored. Does not belong here: what makes the files visible
(`committer`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from types import TracebackType
from typing import Any, TypeAlias
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from salesmart_assets.contracts import Table
from salesmart_assets.lake.files import HIVE_NULL, NewFile, describe, is_bounded
from salesmart_assets.lake.lake import Lake

_Flags: TypeAlias = npt.NDArray[np.bool_]
_OPEN_FILES = 512
"""Files written at the same time: with more partitions in play, the one that was longest without rows is finished."""
_FEW_PARTITIONS = 4
"""So few are filtered out one after the other, which is faster than to sort the rows."""
_LONG_DIGITS = 18
"""A decimal of no more digits is stored as a whole number of 64 bits."""
_SAMPLE_ROWS = 32_768
_GROUP_BYTES = 2 << 20
"""Rows of a file wait for each other until there are so many bytes of them: each write makes a row group, which costs time and space."""
_WAITING_BYTES = 16 << 20
"""So many bytes wait in all files together; then the file with the most is written."""


class PartitionWriter:
    """Writes tables of rows, all in the table's columns, to files called `PREFIX-N.parquet`; use it in a `with` block.

    `files` are complete after the block. Text columns may be dictionaries, which spares looking for repetitions.
    """

    def __init__(self, lake: Lake, table: Table, prefix: str) -> None:
        self.files: list[NewFile] = []
        self._lake = lake
        self._table = table
        self._prefix = prefix
        self._root = lake.path(table.name)
        self._kept = [name for name in table.names if name not in table.partition_by]
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()
        self._made = 0
        self._plain: list[str] | None = None
        self._waiting = 0

    def __enter__(self) -> PartitionWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        # After an error, too: a Parquet writer left open would write its end later. The files stay invisible.
        with ExitStack() as stack:
            for name in self._open:
                stack.callback(self._finish, name)
        self._open.clear()
        self.files.sort(key=lambda f: f.path)

    def write(self, rows: pa.Table, chosen: _Flags | None = None) -> None:
        """Write rows, all or those that are `chosen`, to the files of their partitions."""
        if self._plain is None:
            self._plain = _without_repetitions(rows.select(self._kept))
        for folder, part in _parts(rows.select(self._kept), rows.select(self._table.partition_by), chosen):
            file = self._file(folder, part.schema)
            self._waiting += file.add(part)
        while self._waiting > _WAITING_BYTES:
            self._waiting -= max(self._open.values(), key=lambda file: file.waiting_bytes).write()

    def _file(self, folder: str, schema: pa.Schema) -> _OpenFile:
        if folder in self._open:
            self._open.move_to_end(folder)
            return self._open[folder]
        if len(self._open) >= _OPEN_FILES:
            oldest = next(iter(self._open))
            self._finish(oldest)
            del self._open[oldest]
        name = f"{self._prefix}-{self._made}.parquet"
        path = f"{folder}/{name}" if folder else name
        self._made += 1
        if folder:
            self._lake.filesystem.create_dir(f"{self._root}/{folder}", recursive=True)
        plain = set(self._plain or ())
        self._open[folder] = _OpenFile(self._lake, f"{self._root}/{path}", schema, [n for n in self._kept if n not in plain])
        return self._open[folder]

    def _finish(self, folder: str) -> None:
        file = self._open[folder]
        self._waiting -= file.waiting_bytes
        path, metadata = file.finish()
        info = self._lake.filesystem.get_file_info(path)
        self.files.append(describe(path[len(self._root) + 1 :], self._table, metadata, info.size, info.mtime))


class _OpenFile:
    def __init__(self, lake: Lake, path: str, schema: pa.Schema, repeating: list[str]) -> None:
        self._path = path
        self._metadata: list[pq.FileMetaData] = []
        self._stream = lake.filesystem.open_output_stream(path)
        # Readers take the types from the table; an Arrow schema in the file would say `dictionary` where that is only how it was written.
        self._writer = pq.ParquetWriter(
            self._stream,
            schema,
            compression="snappy",
            use_dictionary=repeating,  # type: ignore[arg-type]
            column_encoding={field.name: "DELTA_BINARY_PACKED" for field in schema if _is_long(field.type)},
            write_statistics=[field.name for field in schema if is_bounded(field.type)],
            store_decimal_as_integer=True,
            store_schema=False,
            metadata_collector=self._metadata,
        )
        self._parts: list[pa.Table] = []
        self.waiting_bytes = 0

    def add(self, rows: pa.Table) -> int:
        """Take rows, to be written now or with others; returns how many more bytes wait now, which may be fewer."""
        before = self.waiting_bytes
        self._parts.append(rows)
        self.waiting_bytes += rows.nbytes
        if self.waiting_bytes > _GROUP_BYTES:
            self.write()
        return self.waiting_bytes - before

    def write(self) -> int:
        """Write what waits; returns how many bytes that were."""
        written, self.waiting_bytes = self.waiting_bytes, 0
        if self._parts:
            self._writer.write_table(pa.concat_tables(self._parts))
            self._parts.clear()
        return written

    def finish(self) -> tuple[str, pq.FileMetaData]:
        self.write()
        self._writer.close()
        self._stream.close()
        return self._path, self._metadata[0]


def _is_long(kind: pa.DataType) -> bool:
    """Whether values are stored as the differences of 64-bit numbers: half the time of a dictionary, and about as small."""
    return pa.types.is_int64(kind) or (pa.types.is_decimal(kind) and kind.precision <= _LONG_DIGITS)


def _parts(rows: pa.Table, by: pa.Table, chosen: _Flags | None) -> Iterator[tuple[str, pa.Table]]:
    """The chosen rows by partition, in their order, with the folder of the partition that `by` says of each."""
    if chosen is not None and not chosen.any():
        return
    number, folder = _partitions(by)
    if number is None:
        yield folder(0), rows if chosen is None else _filtered(rows, chosen)
        return
    present = np.unique(number if chosen is None else number[chosen])
    if len(present) <= _FEW_PARTITIONS:
        for partition in present:
            within = number == partition
            if chosen is not None:
                within &= chosen
            yield folder(int(within.argmax())), _filtered(rows, within)
        return
    order = np.argsort(number, kind="stable")
    if chosen is not None:
        order = order[chosen[order]]
    edges = [0, *(np.flatnonzero(np.diff(number[order])) + 1).tolist(), len(order)]
    for begin, end in pairwise(edges):
        # A copy of its own, not a slice: rows that wait to be written hold no others in memory.
        yield folder(int(order[begin])), rows.take(order[begin:end])


def _partitions(by: pa.Table) -> tuple[npt.NDArray[np.int64] | None, Callable[[int], str]]:
    """The number of each row's partition, in the order of their words, None if all rows are in the same; and a row's folder."""
    codes: list[npt.NDArray[np.int32] | None] = []
    words: list[list[str]] = []
    for name in by.schema.names:
        column: Any = by.column(name)
        if not column.null_count:
            ends: Any = pc.min_max(column).as_py()
            if ends["min"] == ends["max"]:
                codes.append(None)
                words.append([_segment(name, ends["min"])])
                continue
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        codes.append(encoded.indices.to_numpy())
        words.append([_segment(name, value) for value in encoded.dictionary.to_pylist()])

    def folder(row: int) -> str:
        return "/".join(word[0 if code is None else int(code[row])] for code, word in zip(codes, words, strict=True))

    number = None
    for code, word in zip(codes, words, strict=True):
        if code is not None:
            number = code.astype(np.int64) if number is None else number * len(word) + code
    return number, folder


def _filtered(rows: pa.Table, flags: _Flags) -> pa.Table:
    mask = pa.array(flags)
    # Column by column: a whole table is first made a list of places, which takes twice as long.
    return pa.Table.from_arrays([column.filter(mask) for column in rows.columns], schema=rows.schema)


def _segment(name: str, value: object) -> str:
    return f"{name}={HIVE_NULL if value is None else quote(str(value), safe='')}"


def _without_repetitions(rows: pa.Table) -> list[str]:
    """Columns that are stored as differences, and those whose values occur fewer than four times each, by the first rows.

    To look for repetitions in these takes time and saves no space.
    """
    sample = rows.slice(0, _SAMPLE_ROWS)
    return [
        name
        for name, column in zip(sample.schema.names, sample.columns, strict=True)
        if _is_long(column.type) or (not pa.types.is_dictionary(column.type) and pc.count_distinct(column).as_py() * 4 > sample.num_rows)
    ]
