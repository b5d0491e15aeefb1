"""Pending slices: what must be recomputed, table by table.

A slice is touched before the commit that makes it stale (so that a crash leaves it pending) and once more after it (so
that a computation which began before the commit does not clear it). Clearing names the token that was read: a touch in
between has changed it, and the slice stays pending.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone

import sqlalchemy as sa

from salesmart_assets.ledger.schema import pending_slice

CHUNK = 500


@dataclass(frozen=True, slots=True)
class PendingSlice:
    """A slice of a table that is stale: `slice` is a date in ISO form, or `all`."""

    table: str
    slice: str
    token: str
    batch_date: date | None


def touch(connection: sa.Connection, table: str, slices: Iterable[str], batch_date: date | None) -> None:
    """Mark slices of a table as stale, with new tokens."""
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    names = sorted(set(slices))
    for start in range(0, len(names), CHUNK):
        part = names[start : start + CHUNK]
        connection.execute(sa.delete(pending_slice).where(pending_slice.c.table_name == table, pending_slice.c.slice.in_(part)))
        rows = [{"table_name": table, "slice": n, "token": str(uuid.uuid4()), "batch_date": batch_date, "touched_at": now} for n in part]
        connection.execute(sa.insert(pending_slice), rows)


def pending(connection: sa.Connection, table: str | None = None) -> list[PendingSlice]:
    """The stale slices of a table, or of all, in order."""
    query = sa.select(pending_slice).order_by(pending_slice.c.table_name, pending_slice.c.slice)
    if table is not None:
        query = query.where(pending_slice.c.table_name == table)
    return [PendingSlice(row.table_name, row.slice, row.token, row.batch_date) for row in connection.execute(query)]


def clear(connection: sa.Connection, done: Sequence[PendingSlice]) -> None:
    """Take slices off the list, but only those that nobody touched since they were read."""
    for start in range(0, len(done), CHUNK):
        tokens = [item.token for item in done[start : start + CHUNK]]
        connection.execute(sa.delete(pending_slice).where(pending_slice.c.token.in_(tokens)))


def anything_pending(connection: sa.Connection, except_tables: Collection[str] = ()) -> bool:
    """Whether a slice of any other table is stale."""
    query = sa.select(sa.literal(1)).select_from(pending_slice).where(pending_slice.c.table_name.not_in(except_tables)).limit(1)
    return connection.scalar(query) is not None
