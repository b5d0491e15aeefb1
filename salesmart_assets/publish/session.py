"""One session of the only publisher of a database, and the driver's errors in our words.

Belongs here: the lock, and what is known when a connection breaks. Does not belong here: what is published.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from salesmart_assets.errors import Permanent, Retryable
from salesmart_assets.publish.database import describe

_LOST = (1053, 1927, 2003, 2006, 2013, 2055)
# A lock that was waited for in vain, a deadlock, a row that somebody changed since it was read (MariaDB 11.8).
_BUSY = (1205, 1213, 3572, 1020)


class ConnectionLost(Retryable):
    """The connection broke while it was in use."""


@contextlib.contextmanager
def session(engine: sa.Engine, lock_seconds: float, waiting: Callable[[str], None] = lambda _: None) -> Iterator[sa.Connection]:
    """A session of its own, the only publisher's. Its end drops temporary tables and frees the lock, however it comes.

    `waiting` is told who is waited for. Raises `Retryable` if that takes more than `lock_seconds`.
    """
    with translated(engine), engine.connect() as connection:
        connection.detach()
        if connection.dialect.name == "sqlite":
            # Its write lock is the lock.
            with connection.begin():
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(lock_seconds * 1000)}")
        else:
            _lock(engine, connection, lock_seconds, waiting)
        yield connection


def _lock(engine: sa.Engine, connection: sa.Connection, lock_seconds: float, waiting: Callable[[str], None]) -> None:
    # A reader that keeps a table open must not hold up an ALTER TABLE for the server's default of a day or a year.
    seconds = max(1, round(lock_seconds))
    connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {seconds}, SESSION innodb_lock_wait_timeout = {seconds}")
    # What was compared must stay as it was until the commit, whatever level the server was set to.
    connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    name = f"salesmart-publish-{hashlib.sha256(str(engine.url.database).encode()).hexdigest()[:32]}"
    taken = connection.scalar(sa.select(sa.func.get_lock(name, 0)))
    if taken != 1:
        waiting(f"{_holder(connection, name)} is publishing to {place(engine)}; waiting for it.")
        taken = connection.scalar(sa.select(sa.func.get_lock(name, lock_seconds)))
    if taken != 1:
        holder = _holder(connection, name)
        raise Retryable(
            f"{holder} has been publishing to {place(engine)} for {lock_seconds:.0f} s: nothing was published. Run again later."
        )
    connection.commit()


def _holder(connection: sa.Connection, name: str) -> str:
    """Who has the lock, by what the server shows of it."""
    listed = sa.table("PROCESSLIST", sa.column("ID"), sa.column("USER"), sa.column("HOST"), schema="information_schema")
    found = connection.execute(sa.select(listed).where(sa.func.is_used_lock(name) == listed.c.ID)).one_or_none()
    # It may have ended just now, or the server may not show other users' connections.
    return f"Another publisher (user {found.USER} from {found.HOST}, connection {found.ID})" if found else "Another publisher"


def place(engine: sa.Engine) -> str:
    """The database, for messages."""
    return describe(engine.url.render_as_string(hide_password=True))


@contextlib.contextmanager
def translated(engine: sa.Engine) -> Iterator[None]:
    """Errors of the driver as ours. Parameters are not shown: rows hold personal data."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        code = error.orig.args[0] if error.orig is not None and error.orig.args else None
        if error.connection_invalidated or code in _LOST:
            raise ConnectionLost(f"The connection to {place(engine)} was lost; nothing was published. Run again.") from error
        if code in _BUSY or "database is locked" in str(error.orig):
            raise Retryable(f"{place(engine)} is held by somebody else ({error.orig}); nothing was published. Run again later.") from error
        if isinstance(error, (sa.exc.DataError, sa.exc.IntegrityError)):
            # Its text may repeat a value of the row.
            raise Permanent(f"{place(engine)} refuses a row (error {code}); nothing was published.") from None
        raise Permanent(f"{place(engine)} refuses ({error.orig}); nothing was published.") from error
