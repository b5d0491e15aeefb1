"""Parquet files that are written but not yet visible, and what the Delta log must know about them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from salesmart_assets.contracts import Table
from salesmart_assets.errors import AuditFailed

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class NewFile:
    """A finished Parquet file inside a table's folder, not yet part of the table."""

    path: str
    size: int
    rows: int
    partition: tuple[tuple[str, str | None], ...]
    stats: str
    modified: int

    def add_action(self, *, data_change: bool = True) -> AddAction:
        """What the Delta log says of it."""
        return AddAction(
            path=self.path,
            size=self.size,
            partition_values=dict(self.partition),
            modification_time=self.modified,
            data_change=data_change,
            stats=self.stats,
        )

    def value(self, column: str) -> str | None:
        """The file's value of a partition column, as text."""
        return dict(self.partition)[column]


def describe(path: str, table: Table, metadata: pq.FileMetaData, size: int, modified: datetime | None) -> NewFile:
    """A `NewFile` from the footer of a Parquet file; its partition is read from its path, its time is 1970 where no store tells it."""
    found = dict(part.split("=", 1) for part in path.split("/")[:-1] if "=" in part)
    partition = []
    for name in table.partition_by:
        if name not in found:
            raise AuditFailed(f"{table.name}: the file {path} is in no partition of {name}; it was not committed.")
        partition.append((name, None if found[name] == HIVE_NULL else unquote(found[name])))
    milliseconds = int(modified.timestamp() * 1000) if modified else 0
    return NewFile(path, size, metadata.num_rows, tuple(partition), _stats(metadata), milliseconds)


def find_new(filesystem: pafs.FileSystem, root: str, folder: str, table: Table) -> list[NewFile]:
    """All Parquet files that an engine left under `root/folder`, sorted by path; files without rows are left out."""
    selector = pafs.FileSelector(f"{root}/{folder}", recursive=True, allow_not_found=True)
    new = []
    for info in filesystem.get_file_info(selector):
        if info.type != pafs.FileType.File or not info.path.endswith(".parquet"):
            continue
        with filesystem.open_input_file(info.path) as handle:
            metadata = pq.read_metadata(handle)
        if metadata.num_rows:
            new.append(describe(info.path[len(root) + 1 :], table, metadata, info.size, info.mtime))
    return sorted(new, key=lambda f: f.path)


def to_json(files: Iterable[NewFile]) -> str:
    """Files as text, to be committed by a later step."""
    return json.dumps([asdict(f) for f in files])


def from_json(text: str) -> list[NewFile]:
    """The inverse of `to_json`."""
    return [NewFile(**{**item, "partition": tuple((n, v) for n, v in item["partition"])}) for item in json.loads(text)]


def is_bounded(kind: pa.DataType) -> bool:
    """Whether the Delta log tells a column's least and greatest value: texts may be cut in a footer, and then bound nothing."""
    return pa.types.is_integer(kind) or pa.types.is_date(kind)


def _stats(metadata: pq.FileMetaData) -> str:
    """Delta's statistics: row count, and per column the least and greatest value and the number of NULLs."""
    low: dict[str, object] = {}
    high: dict[str, object] = {}
    nulls: dict[str, int] = {}
    for index in range(metadata.num_columns):
        name = metadata.schema.column(index).path
        groups = [metadata.row_group(group).column(index).statistics for group in range(metadata.num_row_groups)]
        chunks = [chunk for chunk in groups if chunk is not None]
        counts = [chunk.null_count for chunk in chunks if chunk.null_count is not None]
        if len(counts) < len(groups):
            continue
        nulls[name] = sum(counts)
        values = [chunk for chunk in chunks if chunk.has_min_max]
        # A row group without a single value has no bounds; one with values but no bounds makes them unknown.
        if not values or any(not c.has_min_max and c.num_values for c in chunks):
            continue
        bounds: list[Any] = [bound for chunk in values for bound in (chunk.min, chunk.max)]
        # Texts may be cut in a footer, and then bound nothing; only exact types are told.
        if all(isinstance(bound, (int, date)) and not isinstance(bound, (bool, datetime)) for bound in bounds):
            low[name], high[name] = _plain(min(bounds)), _plain(max(bounds))
    return json.dumps({"numRecords": metadata.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls})


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
