"""A table at one version: its data files, and the rows they hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import polars as pl
import pyarrow as pa

from salesmart_assets.contracts import Table
from salesmart_assets.lake.storage import Storage

_ORIGIN = re.compile(r"(?:^|/)f([0-9a-f]{24})-[^/]*$")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet file of a table: its path relative to the table, its partition, its rows and size in bytes."""

    path: str
    partition: tuple[tuple[str, str | None], ...]
    rows: int
    size: int
    modified: int

    def value(self, column: str) -> str | None:
        """The file's value of a partition column, as text."""
        return dict(self.partition)[column]

    @property
    def origin(self) -> str | None:
        """The mark of the source file whose rows these are (see `ledger.File.mark`); only staged files have one."""
        match = _ORIGIN.search(self.path)
        return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a table at one version."""

    table: Table
    uri: str
    version: int
    files: tuple[DataFile, ...]
    storage: Storage

    def where(self, keep: Callable[[DataFile], bool]) -> Snapshot:
        """The same version, with only some of its files."""
        return replace(self, files=tuple(f for f in self.files if keep(f)))

    def partitions(self, column: str) -> set[str]:
        """The values of a partition column, as text."""
        return {value for f in self.files if (value := f.value(column)) is not None}

    def only(self, column: str, values: Collection[str]) -> Snapshot:
        """The same version, with only the files of some partitions."""
        wanted = set(values)
        return self.where(lambda f: f.value(column) in wanted)

    @property
    def rows(self) -> int:
        return sum(f.rows for f in self.files)

    @property
    def size(self) -> int:
        """Bytes of all data files."""
        return sum(f.size for f in self.files)

    def scan(self) -> pl.LazyFrame:
        """The rows, lazily, with the table's columns in order; a column that an older file lacks is NULL in it."""
        empty = pl.from_arrow(self.table.arrow.empty_table())
        assert isinstance(empty, pl.DataFrame)
        if not self.files:
            return empty.lazy()
        stored = {name: dtype for name, dtype in empty.schema.items() if name not in self.table.partition_by}
        frame = pl.scan_parquet(
            [f"{self.uri}/{f.path}" for f in self.files],
            hive_partitioning=bool(self.table.partition_by),
            hive_schema={name: empty.schema[name] for name in self.table.partition_by} or None,
            missing_columns="insert",
            extra_columns="ignore",
            schema=stored,
            storage_options=self.storage.options(),
            glob=False,
        )
        return frame.select(empty.columns)

    def read(self) -> pa.Table:
        """All rows as Arrow, in the table's schema."""
        return self.scan().collect().to_arrow().cast(self.table.arrow)
