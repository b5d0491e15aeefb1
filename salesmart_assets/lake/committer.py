"""The only place that makes files visible.

`DeltaTable.create_write_transaction` protects no slice: a handle that was opened late overwrites newer rows, files
outside the slice are accepted, a transaction id commits again. So every commit here states the version that it was
computed from and is refused if the table has moved on, may touch only files inside the slices it names, carries a
transaction id that cannot be committed twice, and is made only while the lease holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from deltalake import CommitProperties, PostCommitHookProperties, Transaction
from deltalake._internal import RemoveAction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import Schema
from deltalake.transaction import AddAction

from salesmart_assets.errors import AuditFailed, CommitConflict, OutcomeUnknown
from salesmart_assets.lake.files import NewFile
from salesmart_assets.lake.log import DeltaLog
from salesmart_assets.lake.snapshot import DataFile, Snapshot

if TYPE_CHECKING:
    from salesmart_assets.ledger import Lease

_APPLICATION = "salesmart"
RESERVED_NOTES = ("salesmart.run", "salesmart.fence")
"""Names under which each commit notes who made it."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that was made: the new version, and what it added and removed."""

    version: int
    added: int
    removed: int
    rows: int


class Committer:
    """Commits to one table."""

    def __init__(self, log: DeltaLog) -> None:
        self._log = log

    def commit(
        self,
        base: Snapshot,
        add: Sequence[NewFile],
        remove: Sequence[DataFile],
        *,
        slice_column: str | None,
        slices: Collection[str],
        run_id: str,
        lease: Lease | None,
        notes: Mapping[str, str] | None = None,
        data_change: bool = True,
    ) -> Commit:
        """Make `add` visible and `remove` invisible, at once, on top of the version of `base`.

        `notes` are kept with the commit, for whoever computes the next one. `data_change`: False where the rows stay the same.
        Every file must lie in one of `slices` of the partition column `slice_column` (None: the table as a whole).
        Raises `CommitConflict` if the table is no longer at that version, `AuditFailed` for a file outside the slices,
        `LeaseLost` if another writer has taken over, and `OutcomeUnknown` if the store did not say what happened.
        """
        table = base.table
        if slice_column is not None:
            touched: list[NewFile | DataFile] = [*add, *remove]
            for item in touched:
                if item.value(slice_column) not in slices:
                    raise AuditFailed(f"{table.name}: the file {item.path} lies outside the slices that this commit may touch.")
        if len({f.path for f in add}) != len(add):
            raise AuditFailed(f"{table.name}: the same file would be added twice.")
        with self._log.latest() as handle:
            if handle.version() != base.version:
                raise CommitConflict(f"{table.name} is at version {handle.version()}, this was computed from {base.version}.")
            target = base.version + 1
            done = handle.transaction_version(_APPLICATION)
            if done is not None and done >= target:
                raise CommitConflict(f"{table.name}: version {target} has been committed already.")
            if not add and not remove:
                return Commit(base.version, 0, 0, 0)
            if lease is not None:
                lease.verify()
            actions: list[AddAction | RemoveAction] = [
                *(f.add_action(data_change=data_change) for f in add),
                *(_remove(f, data_change=data_change) for f in remove),
            ]
            metadata = {"salesmart.run": run_id, "salesmart.fence": str(lease.fence) if lease else "", **(notes or {})}
            try:
                handle.create_write_transaction(
                    actions,
                    mode="append",
                    schema=Schema.from_arrow(table.arrow),
                    partition_by=list(table.partition_by) or None,
                    commit_properties=CommitProperties(
                        custom_metadata=metadata, max_commit_retries=0, app_transactions=[Transaction(_APPLICATION, target)]
                    ),
                    # Upkeep writes checkpoints: Sail can't read versions older than the last one.
                    post_commithook_properties=PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False),
                )
            except CommitFailedError as error:
                raise CommitConflict(f"{table.name}: another writer committed version {target} first.") from error
            except (DeltaError, OSError) as error:
                if self._contains(target, add):
                    return Commit(target, len(add), len(remove), sum(f.rows for f in add))
                raise OutcomeUnknown(
                    f"{table.name}: the commit of version {target} failed ({error}). Run again: it is repaired."
                ) from error
            return Commit(target, len(add), len(remove), sum(f.rows for f in add))

    def _contains(self, version: int, add: Iterable[NewFile]) -> bool:
        """Whether that version exists and shows these files: tells what became of a commit whose answer was lost."""
        try:
            paths = self._log.at(version).actions["path"]
        except DeltaError:
            return False
        return {f.path for f in add} <= {unquote(path) for path in paths}


def retrying(attempt: Callable[[], Commit], tries: int = 20) -> Commit:
    """Run `attempt` again while others commit first; for commits that are made anew from the newest version."""
    for left in range(tries - 1, -1, -1):
        try:
            return attempt()
        except CommitConflict:
            if not left:
                raise
    raise AssertionError("unreachable")


def _remove(item: DataFile, *, data_change: bool) -> RemoveAction:
    return RemoveAction(
        path=item.path,
        data_change=data_change,
        deletion_timestamp=int(time.time() * 1000),
        size=item.size,
        partition_values=dict(item.partition),
    )
