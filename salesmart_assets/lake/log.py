"""What a table's Delta log says, read once for each version: a look at a table that has not changed reads nothing.

Between two checkpoints every look at a table would replay all of its commits again, and a batch looks at its tables some
forty times. Belongs here: versions and their files, as delta-rs tells them. Does not belong here: what a snapshot means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow.fs as pafs
from deltalake import DeltaTable

from salesmart_assets.lake.snapshot import DataFile
from salesmart_assets.lake.storage import Storage


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version of a table: its number, its files by path, and the actions that add them.

    `actions` has a row per file: path, partition values, records, size and statistics, as `get_add_actions` flattens them.
    """

    number: int
    files: tuple[DataFile, ...]
    actions: pl.DataFrame


class DeltaLog:
    """The log of one table; may be asked by several threads. Raises delta-rs's errors where the table can't be read."""

    def __init__(self, uri: str, storage: Storage) -> None:
        self._uri = uri
        self._storage = storage
        self._lock = RLock()
        self._handle: DeltaTable | None = None
        self._options: dict[str, str] | None = None
        self._newest: Version | None = None

    @contextmanager
    def latest(self) -> Iterator[DeltaTable]:
        """The table at the version that stands now, for this thread alone as long as the block lasts."""
        with self._lock:
            # A handle keeps the credentials that it was opened with, and these may expire.
            options = self._storage.options()
            if self._handle is None or options != self._options or not self._is_newest(self._handle.version()):
                self._handle = self._newest = None
                self._handle, self._options = self._open(None), options
            try:
                yield self._handle
            except BaseException:
                # Whatever became of it: the next look opens the table anew.
                self._handle = self._newest = None
                raise

    def newest(self) -> Version:
        """The version that stands now."""
        with self.latest() as handle:
            if self._newest is None or self._newest.number != handle.version():
                self._newest = _read(handle)
            return self._newest

    def at(self, number: int) -> Version:
        """An earlier version, or the newest. Raises `DeltaError` where its log is no longer there."""
        with self._lock:
            if self._newest is not None and self._newest.number == number:
                return self._newest
        return _read(self._open(number))

    def notes(self, number: int) -> dict[str, Any]:
        """What was noted with the commit that made a version; empty where its log is no longer there.

        delta-rs's `history` holds all threads of the process while it waits for the store.
        """
        if self._storage.filesystem().get_file_info(self._commit(number)).type is not pafs.FileType.File:
            return {}
        found: dict[str, Any] = next((item["commitInfo"] for item in self.committed(number) if "commitInfo" in item), {})
        return found

    def committed(self, number: int) -> list[dict[str, Any]]:
        """The actions of the commit that made a version, as the protocol writes them. Raises OSError where its log is no longer there."""
        with self._storage.filesystem().open_input_stream(self._commit(number)) as stream:
            return [json.loads(line) for line in stream.read().splitlines()]

    def _commit(self, number: int) -> str:
        """Where the filesystem has the commit of a version."""
        return f"{self._uri.removeprefix('s3://')}/_delta_log/{number:020}.json"

    def _is_newest(self, number: int) -> bool:
        """Whether the table has this version, and none after it: versions are counted without gaps.

        delta-rs's `update_incremental` holds all threads while it waits for the store, and does not notice a log that was
        taken away or set back.
        """
        this, following = self._storage.filesystem().get_file_info([self._commit(number), self._commit(number + 1)])
        return this.type is pafs.FileType.File and following.type is pafs.FileType.NotFound

    def _open(self, number: int | None) -> DeltaTable:
        return DeltaTable(self._uri, version=number, storage_options=self._storage.options())


def _read(handle: DeltaTable) -> Version:
    actions = pl.DataFrame(handle.get_add_actions(flatten=True))
    by = handle.metadata().partition_columns
    files = []
    for row in actions.iter_rows(named=True):
        partition = tuple((c, None if row[f"partition.{c}"] is None else str(row[f"partition.{c}"])) for c in by)
        modified = row["modification_time"]
        files.append(
            DataFile(unquote(row["path"]), partition, row["num_records"], row["size_bytes"], modified if isinstance(modified, int) else 0)
        )
    return Version(handle.version(), tuple(sorted(files, key=lambda f: f.path)), actions)
