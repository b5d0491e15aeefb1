"""Places at which a crash would hurt most, by name, so that tests can kill the process there.

Setting `SALESMART_FAULT_POINT` to a name ends the process with SIGKILL when it gets there: not an exception that some
handler could soften, but what a power cut or the out-of-memory killer does.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "SALESMART_FAULT_POINT"
POINTS: dict[str, str] = {
    "landing.registered": "the batch's files are in the ledger, nothing was read",
    "staging.touched": "slices are marked as stale, nothing is committed",
    "staging.committed": "rows are in the staging table, the ledger does not know yet",
    "rejections.committed": "rejections are in their table, the ledger does not know yet",
    "dimension.touched": "slices that a new dimension makes stale are marked, it is not committed",
    "dimension.committed": "a dimension is committed, its slice not cleared",
    "fact.written": "the fact's files are written, not committed",
    "fact.committed": "the fact is committed, its slices not cleared",
    "rollup.committed": "a rollup is committed, its slices not cleared",
    "mart.committed": "a mart is committed, its slices not cleared",
    "publish.loaded": "side tables are loaded, nothing is visible",
    "publish.before_commit": "the publication's transaction is complete, not committed",
    "publish.committed": "the publication is visible, its slices not cleared",
    "files.closed": "files are done in the ledger, not archived",
}


def reach(name: str) -> None:
    """Say that the process is at a fault point; it dies here if it was told to."""
    if name not in POINTS:
        raise KeyError(f"{name} is not a fault point")
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
