"""Upkeep of one Delta table: few files instead of many, a short log, and nothing on the disk that nobody can read any more.

Belongs here: what is done to a table's files and log. Does not belong here: when it is done, and what else has a claim on a
file (`batch.upkeep`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pyarrow.fs as pafs

from salesmart_assets.errors import AuditFailed
from salesmart_assets.lake.committer import RESERVED_NOTES, Commit
from salesmart_assets.lake.files import NewFile
from salesmart_assets.lake.lake import Lake
from salesmart_assets.lake.snapshot import DataFile, Snapshot
from salesmart_assets.lake.writer import PartitionWriter
from salesmart_assets.ledger import Lease

SMALL_BYTES = 16 << 20
"""A file below this is joined with others of its slice."""
_JOINED_BYTES = 64 << 20
_COMMITS = 10
"""A log with so many commits since its last checkpoint gets another one."""
_VERSION = re.compile(r"(\d{20})\.(json|checkpoint[.0-9]*\.parquet)$")
_OF_ONE_WRITE = re.compile(r"part-[^/=]+(/|$)")

Group = Sequence[DataFile]


def small_files(snapshot: Snapshot) -> list[Group]:
    """Small files of one slice that can be one, slice by slice."""
    slices: dict[object, list[DataFile]] = {}
    for file in snapshot.files:
        if file.size < SMALL_BYTES:
            slices.setdefault(file.partition, []).append(file)
    groups: list[Group] = []
    for files in slices.values():
        group: list[DataFile] = []
        for file in files:
            if sum(f.size for f in group) + file.size > _JOINED_BYTES:
                groups.append(group)
                group = []
            group.append(file)
        groups.append(group)
    return [group for group in groups if len(group) > 1]


def write_joined(lake: Lake, snapshot: Snapshot, groups: Sequence[Group]) -> list[NewFile]:
    """Write each group as one file, not yet visible. Raises `AuditFailed` if the rows are not the same."""
    table = snapshot.table
    new: list[NewFile] = []
    for group in groups:
        with PartitionWriter(lake, table, lake.fresh()) as writer:
            for file in group:
                # One after the other: no more than one is in memory.
                writer.write(snapshot.where(lambda f, file=file: f is file).read())  # type: ignore[misc]
        paths = {file.path for file in group}
        have = _fingerprint(lake.uncommitted(table.name, writer.files))
        if have != _fingerprint(snapshot.where(lambda f, paths=paths: f.path in paths)):  # type: ignore[misc]
            raise AuditFailed(f"{table.name}: {len(group)} files were joined to one that holds other rows. Nothing was committed.")
        new += writer.files
    return new


def commit_joined(lake: Lake, snapshot: Snapshot, groups: Sequence[Group], new: Sequence[NewFile], run_id: str, lease: Lease) -> Commit:
    """Put joined files in the place of those that they were made of. Raises as `Committer.commit`."""
    table = snapshot.table
    column = table.partition_by[0] if table.partition_by else None
    old = [file for group in groups for file in group]
    # What the rows were computed from was noted with their commit, and still holds.
    noted: Mapping[str, str] = {k: v for k, v in lake.notes(snapshot).items() if k.startswith("salesmart.") and k not in RESERVED_NOTES}
    return lake.committer(table.name).commit(
        snapshot,
        new,
        old,
        slice_column=column,
        slices={value for file in old if column is not None and (value := file.value(column)) is not None},
        run_id=run_id,
        lease=lease,
        notes=noted,
        data_change=False,
    )


def _fingerprint(rows: Snapshot) -> tuple[object, ...]:
    """The same for the same rows, in any order and number of files."""
    line = pl.struct(pl.all()).hash().cast(pl.Int128).sum().alias("line")
    return rows.scan().select(pl.len(), line).collect(engine="streaming").row(0)


@dataclass(frozen=True, slots=True)
class _LogFile:
    """A file of the Delta log: a commit, or a checkpoint of all commits up to its version."""

    version: int
    commit: bool
    path: str
    written: datetime


def has_grown(lake: Lake, name: str) -> bool:
    """Whether the log of a table is worth a checkpoint."""
    last = max((file.version for file in _log(lake, name) if not file.commit), default=-1)
    return lake.snapshot(name).version - last >= _COMMITS


def write_checkpoint(lake: Lake, name: str) -> int:
    """Sum up the log of a table; returns the version.

    Sail reads no version before a checkpoint's: whoever reads one must be done, so this is for the holder of the writer's lease.
    """
    with lake.log(name).latest() as handle:
        handle.create_checkpoint()
        return handle.version()


def forget_log(lake: Lake, name: str, before: datetime) -> int:
    """Remove commits that no version which stood since `before` needs any more; returns how many."""
    log = _log(lake, name)
    first = max((file.version for file in log if not file.commit and file.written <= before), default=0)
    old = [file for file in log if file.version < first]
    # The youngest first: whatever stops it, no commit is left without those before it.
    for file in sorted(old, key=lambda file: -file.version):
        _delete(lake, file.path)
    return sum(file.commit for file in old)


def unread_files(lake: Lake, name: str, before: datetime, claimed: Collection[str]) -> list[pafs.FileInfo]:
    """Data files older than `before` that no version which stood since then shows, and that are not `claimed` (paths in the table).

    They were replaced long ago, or written by a run that did not live to commit them.
    """
    root = lake.path(name)
    selector = pafs.FileSelector(root, recursive=True)
    there = [
        info
        for info in lake.filesystem.get_file_info(selector)
        if info.type is pafs.FileType.File and info.path.endswith(".parquet") and _written(info) <= before
    ]
    # Last of all: what was committed while the files were listed is in it.
    needed = {*claimed, *_shown_since(lake, name, before)}
    inside = len(root) + 1
    return [info for info in there if not info.path[inside:].startswith("_delta_log/") and info.path[inside:] not in needed]


def remove(lake: Lake, name: str, files: Sequence[pafs.FileInfo]) -> None:
    """Delete data files, and on a disk the folders of one write that are empty then."""
    root = Path(lake.path(name))
    for info in files:
        _delete(lake, info.path)
        folder = Path(info.path).parent
        # A partition's folder stays: somebody may be about to write into it.
        while isinstance(lake.filesystem, pafs.LocalFileSystem) and _OF_ONE_WRITE.match(str(folder.relative_to(root))):
            try:
                folder.rmdir()
            except OSError:
                break  # something is in it
            folder = folder.parent


def _delete(lake: Lake, path: str) -> None:
    try:
        lake.filesystem.delete_file(path)
    except FileNotFoundError:
        return  # somebody else is tidying up, too


def _shown_since(lake: Lake, name: str, before: datetime) -> Iterator[str]:
    """The files of all versions that stood since then: those of the newest, and what was added or removed on the way to it."""
    for file in lake.snapshot(name).files:
        yield file.path
    for entry in _log(lake, name):
        if not entry.commit or entry.written <= before:
            continue
        for action in lake.log(name).committed(entry.version):
            for kind in ("add", "remove"):
                if kind in action:
                    yield unquote(action[kind]["path"])


def _log(lake: Lake, name: str) -> list[_LogFile]:
    infos = lake.filesystem.get_file_info(pafs.FileSelector(f"{lake.path(name)}/_delta_log"))
    found = [(match, info) for info in infos if (match := _VERSION.search(info.path))]
    return [_LogFile(int(match[1]), match[2] == "json", info.path, _written(info)) for match, info in found]


def _written(info: pafs.FileInfo) -> datetime:
    """When a file was written, in UTC; what a store tells no time of counts as new."""
    moment = info.mtime
    return moment.astimezone(timezone.utc) if moment is not None else datetime.now(timezone.utc)
