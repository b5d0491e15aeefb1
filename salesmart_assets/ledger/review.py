"""The ledger in sum: what went wrong lately, for those who are told of it. Every look costs what is new, not what is kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

import sqlalchemy as sa

from salesmart_assets.ledger.files import File
from salesmart_assets.ledger.schema import ingest_file

_CHUNK = 500
_MOST_FILES = 1_000


@dataclass(frozen=True, slots=True)
class Tally:
    """Files that were finished in a while, by outcome, and what became of their rows."""

    files: dict[str, int]
    batches: int
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    rows_duplicate: int


class Review:
    """Questions to the ledger; moments are in UTC."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def bad_files(self, since: datetime, identities: Collection[str]) -> list[File]:
        """Live files that were rejected whole or given up: those finished since a moment, and those of these identities."""
        c = ingest_file.c
        bad = (c.status == "I") & c.outcome.in_(("rejected", "given_up")) & c.superseded_by.is_(None)
        wanted = sorted(identities)
        found: dict[int, File] = {}
        with self._engine.connect() as connection:
            for where in (
                c.finished_at >= _naive(since),
                *(c.identity.in_(wanted[start : start + _CHUNK]) for start in range(0, len(wanted), _CHUNK)),
            ):
                query = sa.select(ingest_file).where(bad, where).order_by(c.file_id).limit(_MOST_FILES)
                found |= {row.file_id: _file(row) for row in connection.execute(query)}
        return [found[number] for number in sorted(found)]

    def batches_with_rejections(self, since: datetime) -> list[tuple[str, date]]:
        """Sources and batch dates with rejected rows in a file that was finished since a moment."""
        c = ingest_file.c
        some = (c.finished_at >= _naive(since)) & (c.outcome == "loaded") & (c.rows_rejected > 0) & c.batch_date.is_not(None)
        query = sa.select(c.source, c.batch_date).where(some).distinct().order_by(c.source, c.batch_date)
        with self._engine.connect() as connection:
            return [(row.source, row.batch_date) for row in connection.execute(query)]

    def rejected(self, source: str, day: date) -> tuple[int, int]:
        """Rows read of a source's loaded files of a batch, and those that were rejected and not mended since."""
        c = ingest_file.c
        mine = (c.source == source) & (c.batch_date == day) & (c.outcome == "loaded") & c.superseded_by.is_(None)
        first, mended = mine & c.replay_of.is_(None), mine & c.replay_of.is_not(None)
        with self._engine.connect() as connection:
            read, left = connection.execute(_sums(c.rows_read, c.rows_rejected).where(first)).one()
            (back,) = connection.execute(_sums(c.rows_staged).where(mended)).one()
        return int(read), max(int(left) - int(back), 0)

    def came(self, source: str, day: date) -> bool:
        """Whether a batch of a source is done: a file of it is loaded, or has nothing in it that is not loaded already."""
        c = ingest_file.c
        done = (c.status == "I") & c.outcome.in_(("loaded", "empty", "duplicate")) & c.superseded_by.is_(None)
        return self._any((c.source == source) & (c.batch_date == day) & done)

    def seen(self, source: str, day: date) -> list[File]:
        """The live files of a source's batch, whatever became of them."""
        c = ingest_file.c
        mine = (c.source == source) & (c.batch_date == day) & c.superseded_by.is_(None)
        with self._engine.connect() as connection:
            return [_file(row) for row in connection.execute(sa.select(ingest_file).where(mine).order_by(c.file_id).limit(_CHUNK))]

    def came_before(self, source: str, day: date) -> bool:
        """Whether the source has a file of an earlier batch."""
        return self._any((ingest_file.c.batch_date < day) & (ingest_file.c.source == source))

    def tally(self, since: datetime) -> Tally:
        """What was finished since a moment."""
        c = ingest_file.c
        lately = c.finished_at >= _naive(since)
        rows = (c.rows_read, c.rows_accepted, c.rows_rejected, c.rows_duplicate)
        with self._engine.connect() as connection:
            outcomes = connection.execute(sa.select(c.outcome, sa.func.count()).where(lately).group_by(c.outcome)).all()
            batches = connection.scalar(sa.select(sa.func.count(c.batch_date.distinct())).where(lately)) or 0
            sums = connection.execute(_sums(*rows).where(lately)).one()
        return Tally({str(outcome): count for outcome, count in outcomes}, batches, *(int(number) for number in sums))

    def _any(self, where: sa.ColumnElement[bool]) -> bool:
        with self._engine.connect() as connection:
            return connection.execute(sa.select(ingest_file.c.file_id).where(where).limit(1)).first() is not None


def _sums(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return sa.select(*(sa.func.coalesce(sa.func.sum(column), 0) for column in columns))


def _file(row: sa.Row[Any]) -> File:
    return File(**row._mapping)  # noqa: SLF001 (SQLAlchemy's own public name for it)


def _naive(moment: datetime) -> datetime:
    """UTC without a zone, as databases keep it."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None)
