"""The lake: where each table is, its newest version, and fresh paths for engines to write to."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.schema import Schema

from salesmart_assets.contracts import Table, Tables
from salesmart_assets.errors import Permanent, Unreachable, UsageError
from salesmart_assets.lake.committer import Committer
from salesmart_assets.lake.files import NewFile, find_new
from salesmart_assets.lake.log import DeltaLog
from salesmart_assets.lake.snapshot import DataFile, Snapshot
from salesmart_assets.lake.storage import S3, Folder, Storage
from salesmart_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and greatest value of a column in a file, None if all are NULL; and how many are NULL."""

    low: Any
    high: Any
    nulls: int


@dataclass(frozen=True, slots=True)
class Lake:
    """All Delta tables under one root: a local folder, or an s3:// address."""

    root: str
    tables: Tables
    storage: Storage
    _logs: dict[str, DeltaLog] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def open(cls, settings: Settings, tables: Tables) -> Lake:
        """The lake that the settings name; a local folder is created.

        Raises `UsageError` for a place that no table can be written to, and `Unreachable` where the folder can't be created.
        """
        root = settings.lake_uri
        if "%" in root:
            # The libraries beneath disagree on whether it begins an escape.
            raise UsageError(f"The lake cannot lie in {root}, for the % in it: choose another place by SALESMART_HOME or SALESMART_LAKE.")
        if root.startswith("s3://"):
            return cls(root, tables, S3(settings))
        if "://" in root:
            raise Permanent(f"SALESMART_LAKE is {root}: use a folder or s3://bucket/prefix.")
        try:
            Path(root).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unreachable(
                f"The lake's folder {root} cannot be created ({error.strerror}): choose another with SALESMART_LAKE."
            ) from None
        return cls(root, tables, Folder())

    @property
    def filesystem(self) -> pafs.FileSystem:
        """The store as Arrow sees it."""
        return self.storage.filesystem()

    def uri(self, name: str) -> str:
        """Address of a table."""
        return f"{self.root}/{name}"

    def path(self, name: str) -> str:
        """Address of a table as `filesystem` wants it."""
        return self.uri(name).removeprefix("s3://")

    def create_tables(self) -> None:
        """Create missing tables, and add the columns that contracts have gained; a changed type is refused."""
        for table in self.tables:
            self._create(table)

    def _create(self, table: Table) -> None:
        uri = self.uri(table.name)
        wanted = Schema.from_arrow(table.arrow)
        try:
            handle = DeltaTable(uri, storage_options=self.storage.options())
        except TableNotFoundError:
            try:
                DeltaTable.create(
                    uri,
                    schema=wanted,
                    mode="ignore",
                    partition_by=list(table.partition_by) or None,
                    name=table.name,
                    description=table.grain,
                    storage_options=self.storage.options(),
                )
            except DeltaError:
                # Another process created it at the same moment.
                if not DeltaTable.is_deltatable(uri, self.storage.options()):
                    raise
            return
        except (DeltaError, OSError) as error:
            raise Unreachable(
                f"The lake at {self.root} does not answer: {_first_line(error)}. Check SALESMART_LAKE and the S3 settings."
            ) from None
        present = {item.name: item for item in handle.schema().fields}
        for item in wanted.fields:
            if item.name in present and present[item.name].type != item.type:
                raise Permanent(
                    f"{table.name}.{item.name} is {present[item.name].type} in the lake, but {item.type} by its contract: "
                    "types of stored columns can't change. Give the column a new name, or start a new lake and load the files again."
                )
        missing = [item for item in wanted.fields if item.name not in present]
        if missing:
            handle.alter.add_columns(missing)

    def snapshot(self, name: str, version: int | None = None) -> Snapshot:
        """The files of a table at a version; the newest one by default."""
        log = self.log(name)
        found = log.newest() if version is None else log.at(version)
        return Snapshot(self.tables[name], self.uri(name), found.number, found.files, self.storage)

    def earlier(self, name: str, version: int) -> Snapshot | None:
        """The files of a table at an earlier version; None where its log is no longer there."""
        try:
            return self.snapshot(name, version)
        except DeltaError:
            return None

    def bounds(self, snapshot: Snapshot, column: str) -> dict[str, Bounds | None]:
        """The least and greatest value of an integer or date column in each file, by path; None where a file does not tell."""
        actions = self.log(snapshot.table.name).at(snapshot.version).actions
        named = {"low": f"min.{column}", "high": f"max.{column}", "nulls": f"null_count.{column}"}
        told = [pl.col(c).alias(n) if c in actions.columns else pl.lit(None).alias(n) for n, c in named.items()]
        wanted = {f.path for f in snapshot.files}
        found: dict[str, Bounds | None] = {}
        for path, rows, low, high, nulls in actions.select("path", "num_records", *told).iter_rows():
            if (place := unquote(path)) in wanted:
                known = nulls is not None and (nulls == rows or (low is not None and high is not None))
                found[place] = Bounds(low, high, nulls) if known else None
        return found

    def notes(self, snapshot: Snapshot) -> dict[str, Any]:
        """What was noted with the commit that made a snapshot's version; empty where its log is no longer there."""
        return self.log(snapshot.table.name).notes(snapshot.version)

    def log(self, name: str) -> DeltaLog:
        """The log of a table."""
        # `setdefault` is one step also among threads: all of them get the same log.
        return self._logs.setdefault(name, DeltaLog(self.uri(name), self.storage))

    def uncommitted(self, name: str, new: Sequence[NewFile]) -> Snapshot:
        """Finished files that are in no version of a table yet, to be looked at as if they were."""
        files = tuple(DataFile(f.path, f.partition, f.rows, f.size, f.modified) for f in new)
        return Snapshot(self.tables[name], self.uri(name), -1, files, self.storage)

    def committer(self, name: str) -> Committer:
        """The committer of a table."""
        return Committer(self.log(name))

    def fresh(self) -> str:
        """A name for a folder that nobody has written to."""
        return f"part-{uuid.uuid4().hex}"

    def discard(self, name: str, new: Sequence[NewFile]) -> None:
        """Remove finished files that nobody committed."""
        for file in new:
            self.filesystem.delete_file(f"{self.path(name)}/{file.path}")

    def written(self, name: str, folder: str) -> list[NewFile]:
        """The Parquet files that an engine left in a fresh folder of a table."""
        return find_new(self.filesystem, self.path(name), folder, self.tables[name])

    def read_file(self, path: str) -> bytes | None:
        """What a file below the root holds; None where there is none."""
        target = f"{self.root.removeprefix('s3://')}/{path}"
        if self.filesystem.get_file_info(target).type != pafs.FileType.File:
            return None
        with self.filesystem.open_input_stream(target) as handle:
            return bytes(handle.read())

    def write_file(self, path: str, content: bytes) -> str:
        """Write a file below the root, whole or not at all; returns its address."""
        target = f"{self.root.removeprefix('s3://')}/{path}"
        if isinstance(self.filesystem, pafs.LocalFileSystem):
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(f"{target}.{uuid.uuid4().hex}.tmp")
            scratch.write_bytes(content)
            scratch.replace(target)
        else:
            with self.filesystem.open_output_stream(target) as handle:
                handle.write(content)
        return f"{self.root}/{path}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
