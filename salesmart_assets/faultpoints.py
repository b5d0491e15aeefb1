"""Places at which a crash would hurt most, by name, so that tests can kill the process there.

Setting `SALESMART_FAULT_POINT` to a name ends the process with SIGKILL when it gets there: not an exception that some
handler could soften, but what a power cut or the out-of-memory killer does.
"""

from __future__ import annotations

import os
import signal

from salesmart_assets.contracts.model import SOURCES
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS, ROLLUPS, staging_name

VARIABLE = "SALESMART_FAULT_POINT"
_STAGING = tuple(staging_name(source) for source in SOURCES)
_PLACES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("landing.registered", SOURCES, "the source's files are in the ledger, nothing was read"),
    ("staging.touched", _STAGING, "slices are marked as stale, nothing is committed"),
    ("staging.committed", _STAGING, "rows are in the staging table, the ledger does not know yet"),
    ("rejections.committed", (), "rejections are in their table, the ledger does not know yet"),
    ("dimension.touched", DIMENSIONS, "slices that a new dimension makes stale are marked, it is not committed"),
    ("dimension.committed", DIMENSIONS, "a dimension is committed, its slice not cleared"),
    ("fact.written", (), "the fact's files are written, not committed"),
    ("fact.committed", (), "the fact is committed, its slices not cleared"),
    ("rollup.committed", ROLLUPS, "a rollup is committed, its slices not cleared"),
    ("mart.committed", MARTS, "a mart is committed, its slices not cleared"),
    ("publish.loaded", (), "rows of a slice are in its table, nothing is committed"),
    ("publish.before_commit", (), "the publication's transaction is complete, not committed"),
    ("publish.committed", (), "the publication is visible, its slices not cleared"),
    ("files.closed", (), "files are done in the ledger, not archived"),
    ("files.archived", (), "the first object is archived, the ledger does not know yet"),
)
POINTS: dict[str, str] = {
    (f"{name}@{table}" if table else name): meaning for name, tables, meaning in _PLACES for table in (tables or ("",))
}
"""Every fault point of a batch, `PLACE` or `PLACE@TABLE`, and how things stand there."""

UPKEEP_POINTS = {
    "upkeep.joined": "small files are joined to larger ones, nothing is committed",
    "upkeep.committed": "the larger files are committed",
    "upkeep.checkpointed": "the log of a table is summed up",
    "upkeep.swept": "the first data file out of retention is removed",
}
"""Those of upkeep."""


def reach(name: str, table: str = "") -> None:
    """Say that the process is at a fault point; it dies here if it was told to."""
    point = f"{name}@{table}" if table else name
    if point not in POINTS and point not in UPKEEP_POINTS:
        raise KeyError(f"{point} is not a fault point")
    if os.environ.get(VARIABLE) == point:
        os.kill(os.getpid(), signal.SIGKILL)
