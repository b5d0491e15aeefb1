"""The book of alerts: which causes are open, and which messages wait for whom. A database of its own in the home.

Beside the ledger it could not tell that the ledger's database is gone.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from salesmart_assets.alerts.causes import Cause
from salesmart_assets.alerts.messages import Message, again
from salesmart_assets.publish.database import open_database

_metadata = sa.MetaData()
_moment = sa.Float  # seconds since 1970

_cause = sa.Table(
    "open_cause",
    _metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("opened_at", _moment, nullable=False),
)
_message = sa.Table(
    "message",
    _metadata,
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("made_at", _moment, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("next_at", _moment, nullable=False),
    sa.Column("state", sa.Text, nullable=False, default="waiting", comment="waiting, sent, given_up"),
)
_run = sa.Table("seen_run", _metadata, sa.Column("run_id", sa.Text, primary_key=True), sa.Column("seen_at", _moment, nullable=False))

_DAY = 86_400.0
_FORGOTTEN = 30 * _DAY
"""A cause that is still so after this long is told once more."""
_KEPT = 7 * _DAY
"""How long messages and runs that were seen are kept."""
_CLAIM_SECONDS = 120.0
"""How long a message belongs to the process that took it: one that dies meanwhile leaves it to the next."""
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Open:
    """A cause that is open."""

    key: str
    kind: str
    title: str
    scope: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that one channel is still to deliver, taken by this process."""

    message_id: str
    message: Message
    tries: int
    made_at: float


class Book:
    """The book of one home. Several processes may use it at the same time."""

    def __init__(self, path: Path) -> None:
        self._engine = open_database(f"sqlite:///{path}")
        with self._engine.begin() as connection:
            _metadata.create_all(connection)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def settle(
        self,
        found: Iterable[Cause],
        ends: Callable[[Open], bool],
        messages: Callable[[Sequence[Cause]], Sequence[Message]],
        channels: Collection[str],
        run_id: str = "",
    ) -> None:
        """Open the causes that are new, and end those that are not found any more and of which `ends` says that they are looked for.

        What `messages` makes of the new ones waits for each of the channels from then on. With `run_id` the end of that run is
        dealt with by this; if it was before, nothing is done.
        """
        now = time.time()
        with self._engine.begin() as connection:
            if run_id and not _see(connection, run_id, now):
                return
            connection.execute(sa.delete(_cause).where(_cause.c.opened_at < now - _FORGOTTEN))
            connection.execute(sa.delete(_message).where(_message.c.made_at < now - _KEPT))
            known = {row.key: Open(row.key, row.kind, row.title, row.scope) for row in connection.execute(sa.select(_cause))}
            seen = {cause.key: cause for cause in found}
            new = [cause for key, cause in seen.items() if key not in known]
            for key in (key for key, item in known.items() if key not in seen and ends(item)):
                connection.execute(sa.delete(_cause).where(_cause.c.key == key))
            for cause in new:
                values = {"key": cause.key, "kind": cause.kind, "title": cause.title, "scope": cause.scope, "opened_at": now}
                connection.execute(sa.insert(_cause).values(values))
            for message in messages(new) if new else ():
                for channel in channels:
                    waits = {"message_id": str(uuid.uuid4()), "channel": channel, "body": message.kept(), "made_at": now, "next_at": now}
                    connection.execute(sa.insert(_message).values(waits))

    def open_causes(self) -> list[Open]:
        """The causes that are open, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_cause).order_by(_cause.c.opened_at, _cause.c.key))
            return [Open(row.key, row.kind, row.title, row.scope) for row in rows]

    def undelivered(self) -> int:
        """How many messages wait."""
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).where(_message.c.state == "waiting")) or 0

    def take(self, channel: str) -> Waiting | None:
        """The oldest message that the channel is to try now, for this process alone; None if there is none."""
        now = time.time()
        due = (_message.c.channel == channel) & (_message.c.state == "waiting") & (_message.c.next_at <= now)
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(_message).where(due).order_by(_message.c.made_at, _message.c.message_id).limit(1)).first()
            if row is None:
                return None
            connection.execute(sa.update(_message).where(_message.c.message_id == row.message_id).values(next_at=now + _CLAIM_SECONDS))
        return Waiting(row.message_id, again(row.body), row.tries, row.made_at)

    def delivered(self, waiting: Waiting) -> None:
        """It has arrived."""
        self._update(waiting, state="sent", tries=waiting.tries + 1)

    def failed(self, waiting: Waiting) -> float | None:
        """It could not be delivered: it waits for twice as long as before, a minute at first; returns the seconds.

        A day after it was made it is given up: None.
        """
        now = time.time()
        if now - waiting.made_at > _DAY:
            self._update(waiting, state="given_up", tries=waiting.tries + 1)
            return None
        pause: float = min(_FIRST_PAUSE * 2**waiting.tries, _LONGEST_PAUSE)
        self._update(waiting, tries=waiting.tries + 1, next_at=now + pause)
        return pause

    def unseen(self, run_ids: Collection[str]) -> set[str]:
        """Those of these runs whose end nobody has dealt with yet."""
        with self._engine.connect() as connection:
            return set(run_ids) - set(connection.scalars(sa.select(_run.c.run_id).where(_run.c.run_id.in_(run_ids))))

    def see(self, run_id: str) -> None:
        """Note that the end of a run is dealt with."""
        with self._engine.begin() as connection:
            _see(connection, run_id, time.time())

    def _update(self, waiting: Waiting, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.update(_message).where(_message.c.message_id == waiting.message_id).values(**values))


def _see(connection: sa.Connection, run_id: str, now: float) -> bool:
    """Note that the end of a run is dealt with; False if it was already."""
    connection.execute(sa.delete(_run).where(_run.c.seen_at < now - _KEPT))
    if connection.execute(sa.select(_run).where(_run.c.run_id == run_id)).first() is not None:
        return False
    connection.execute(sa.insert(_run).values(run_id=run_id, seen_at=now))
    return True
