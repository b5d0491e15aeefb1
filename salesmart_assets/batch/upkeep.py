"""Upkeep: what is done now and then so that a platform that has run for years costs what it did in its first week.

No table changes by it, and nothing is taken away that a reader, a repair or a look at an earlier version of the last
`retention_days` needs. It may be killed anywhere, and run again, beside batches: what it commits, it commits as the one writer.

Belongs here: the tasks, in their order. A new one is a function in `TASKS`. Does not belong here: how a table's files and log
are kept (`lake.upkeep`).
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from time import monotonic

import polars as pl
import pyarrow as pa
import pyarrow.fs as pafs
import sqlalchemy as sa
from deltalake.exceptions import DeltaError

from salesmart_assets.batch.locations import locations_of
from salesmart_assets.batch.platform import SCRATCH, Platform
from salesmart_assets.contracts.tables import REJECTED_ROWS
from salesmart_assets.errors import SalesmartError
from salesmart_assets.faultpoints import reach
from salesmart_assets.lake import upkeep
from salesmart_assets.lake.files import from_json
from salesmart_assets.logs import as_event, within
from salesmart_assets.publish.database import tend

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 600.0
"""How long a running batch is waited for; what could not be done then is done by the next upkeep."""
_AT_ONCE_BYTES = 256 << 20
"""Files of so many bytes are joined in one commit: batches get their turn in between."""
_FAULTS = (SalesmartError, DeltaError, pl.exceptions.PolarsError, pa.ArrowException, OSError, sa.exc.SQLAlchemyError)
_PAGE = re.compile(r"/daily/(\d{4}-\d\d-\d\d)\.html$")


@dataclass(frozen=True, slots=True)
class Task:
    """A task that was done, or why it could not be."""

    name: str
    ok: bool
    says: str
    seconds: float


@dataclass(frozen=True, slots=True)
class _Upkeep:
    """One upkeep: the platform, the name under which it commits, the moment since which every version stays readable (UTC)."""

    platform: Platform
    run_id: str
    today: date
    before: datetime


def maintain(platform: Platform, run_id: str, now: datetime | None = None) -> Iterator[Task]:
    """Do each task in turn; one that can't be done keeps none of the others. `now` is in UTC."""
    now = now or datetime.now(timezone.utc)
    this = _Upkeep(platform, run_id, now.date(), now - timedelta(days=platform.settings.retention_days))
    for name, task in TASKS.items():
        with within(run_id=run_id, step="maintain"):
            started = monotonic()
            try:
                ok, says = True, task(this)
            except _FAULTS as error:
                ok, says = False, str(error).splitlines()[0] if str(error) else type(error).__name__
            done = Task(name, ok, says, round(monotonic() - started, 3))
            event = as_event("upkeep.done" if ok else "upkeep.failed", seconds=done.seconds)
            _log.log(logging.INFO if ok else logging.ERROR, "%s: %s", name, says, extra=event)
        yield done


def _join_files(this: _Upkeep) -> str:
    """Staging is left as it is: there each file holds the rows of one source file, which leave with it."""
    before = after = 0
    for table in this.platform.tables:
        while table.group != "staging" and (joined := _join_some(this, table.name)):
            before += joined[0]
            after += joined[1]
    return f"{before:,} small files became {after:,}." if before else "No slice has small files that could be one."


def _join_some(this: _Upkeep, table: str) -> tuple[int, int] | None:
    lake = this.platform.lake
    if not upkeep.small_files(lake.snapshot(table)):
        return None
    with this.platform.ledger.writer.hold(wait_seconds=_PATIENCE_SECONDS, waiting=this.platform.say) as lease:
        snapshot = lake.snapshot(table)
        groups: list[upkeep.Group] = []
        size = 0
        for group in upkeep.small_files(snapshot):
            groups.append(group)
            size += sum(file.size for file in group)
            if size > _AT_ONCE_BYTES:
                break
        new = upkeep.write_joined(lake, snapshot, groups)
        reach("upkeep.joined")
        upkeep.commit_joined(lake, snapshot, groups, new, this.run_id, lease)
        reach("upkeep.committed")
    return sum(len(group) for group in groups), len(new)


def _write_checkpoints(this: _Upkeep) -> str:
    written = []
    for table in this.platform.tables:
        if upkeep.has_grown(this.platform.lake, table.name):
            # Under the lease no engine reads a version that it pinned earlier.
            with this.platform.ledger.writer.hold(wait_seconds=_PATIENCE_SECONDS, waiting=this.platform.say):
                version = upkeep.write_checkpoint(this.platform.lake, table.name)
            written.append(f"{table.name} at version {version}")
            reach("upkeep.checkpointed")
    return f"Logs were summed up: {', '.join(written)}." if written else "No log has grown enough to be summed up."


def _sweep_files(this: _Upkeep) -> str:
    lake = this.platform.lake
    count = size = 0
    for table in this.platform.tables:
        claimed = _rejections_to_come(this.platform) if table.name == REJECTED_ROWS.name else set()
        for info in upkeep.unread_files(lake, table.name, this.before, claimed):
            upkeep.remove(lake, table.name, [info])
            reach("upkeep.swept")
            count += 1
            size += info.size
    if not count:
        return "Every data file is shown by a version within the retention, or too young to be judged."
    return f"{count:,} data files, {size:,} bytes, were removed: replaced, or left by a run that was killed, and out of retention."


def _rejections_to_come(platform: Platform) -> set[str]:
    """Files of rejections that the ledger has yet to put into their table, however long a batch has been failing."""
    files = platform.ledger.files(status="A", stages=("staged",))
    return {item.path for file in files for item in from_json(file.rejected_files or "[]")}


def _forget_logs(this: _Upkeep) -> str:
    count = sum(upkeep.forget_log(this.platform.lake, table.name, this.before) for table in this.platform.tables)
    return f"{count:,} commits were forgotten that no version within the retention needs." if count else "Every commit is still needed."


def _remove_reports(this: _Upkeep) -> str:
    lake, days = this.platform.lake, this.platform.settings.report_days
    root = f"{lake.root.removeprefix('s3://')}/reports"
    pages = halves = 0
    for info in lake.filesystem.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True)):
        page = _PAGE.search(info.path)
        old = page is not None and days > 0 and date.fromisoformat(page[1]) < this.today - timedelta(days=days)
        half = info.path.endswith(".tmp") and info.mtime is not None and info.mtime < this.before
        if old or half:
            lake.filesystem.delete_file(info.path)
        pages += old
        halves += half
    kept = f"older than {days} days" if days else "(they are kept for ever)"
    return f"{pages:,} daily reports {kept}, and {halves:,} that were written by half, were removed."


def _remove_scratch(this: _Upkeep) -> str:
    """Folders in which a run kept the files that it was reading, when it was killed."""
    count = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        stat = folder.stat()
        if stat.st_uid == os.getuid() and datetime.fromtimestamp(stat.st_mtime, timezone.utc) < this.before:
            shutil.rmtree(folder)
            count += 1
    return f"{count:,} folders of runs that were killed were removed."


def _tend_databases(this: _Upkeep) -> str:
    known = {location.place for location in locations_of(this.platform).every}
    forgotten = this.platform.ledger.locations.forget_faults(known)
    tended = [tend(this.platform.ledger.engine), tend(this.platform.marts)]
    more = f" {forgotten} faults of locations that are no longer there were forgotten." if forgotten else ""
    return f"Ledger: {tended[0]} Marts: {tended[1]}{more}"


TASKS: dict[str, Callable[[_Upkeep], str]] = {
    "small files": _join_files,
    "checkpoints": _write_checkpoints,
    "unread files": _sweep_files,
    "table logs": _forget_logs,
    "reports": _remove_reports,
    "scratch": _remove_scratch,
    "databases": _tend_databases,
}
"""Every task of upkeep, in its order: each says in a sentence what it did."""
