"""Opening a database by its URL: SQLite, MySQL or MariaDB, ready to be written to.

Belongs here: what an engine needs before the first statement (creating the database, session settings, transactions that
are transactions), and one clear sentence when it cannot be had. Does not belong here: any table.
"""

from __future__ import annotations

import contextlib
import ipaddress
import sqlite3
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pymysql
import sqlalchemy as sa

from salesmart_assets.errors import Permanent, SalesmartError, Unreachable, UsageError
from salesmart_assets.publish.wire import WireConnection

BUSY_SECONDS = 30
CONNECT_SECONDS = 10
_MYSQL_DRIVERS = ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql")
_SQLITE_DRIVERS = ("sqlite", "sqlite+pysqlite")
# A value that does not fit is an error, never a shortened value; a backslash is an escape sign, as the bulk load writes it.
_SQL_MODE = "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_IN_DATE,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION"
_ACCESS_DENIED, _DENIED_FOR_DATABASE, _UNKNOWN_DATABASE, _DENIED_WITHOUT_PASSWORD = 1045, 1044, 1049, 1698
_NO_TLS = 2026
_TLS_OPTIONS = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_key_password", "ssl_check_hostname", "ssl_disabled")
_BEGIN = "sqlite_begin"


def open_database(url: str, *, create: bool = True) -> sa.Engine:
    """An engine for the database at `url`, which is created if it is not there and the user may create it, unless not `create`.

    Takes `sqlite:///FILE`, `mysql+pymysql://…`, and `mysql://…` or `mariadb://…`, which mean the same driver. A MySQL server on
    another host is spoken to over TLS, and must show a certificate that the system's authorities vouch for, or those in the
    file that the URL names as `ssl_ca`; `ssl_disabled=true` does without. On SQLite, `engine.begin()` takes the write lock at
    once, so that what is read in it still holds when it writes; `engine.connect()` only reads a snapshot until its first write.

    Raises `UsageError` for a URL that means none of these, and `Unreachable` when the server does not answer, can't be trusted,
    refuses the credentials, or does not have the database and does not let the user create it.
    """
    parsed = _parse(url)
    return _open_sqlite(parsed) if parsed.drivername in _SQLITE_DRIVERS else _open_mysql(parsed, create=create)


def describe(url: str) -> str:
    """The URL with its password masked.

    >>> describe("mysql+pymysql://ann:secret@db.example/marts")
    'mysql+pymysql://ann:***@db.example/marts'
    """
    try:
        parsed = _taken_apart(url)
    except (sa.exc.ArgumentError, ValueError):
        return "a database URL that cannot be read"
    secret = {name: "***" for name in parsed.query if name.lower() in ("password", "passwd", "ssl_key_password")}
    return parsed.update_query_dict(secret).render_as_string(hide_password=True)


def _taken_apart(url: str) -> sa.URL:
    parsed = sa.make_url(url)
    if "@" in (parsed.host or ""):
        raise ValueError("what stands before the last @ belongs to the password")
    return parsed


def _parse(url: str) -> sa.URL:
    advice = "use sqlite:///FILE or mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE"
    try:
        parsed = _taken_apart(url)
    except (sa.exc.ArgumentError, ValueError):
        # The text itself may hold a password: it is not repeated.
        raise UsageError(f"The database URL cannot be read: {advice}, with special signs in the password written as %XX.") from None
    if parsed.drivername in _SQLITE_DRIVERS:
        if not parsed.database or parsed.database == ":memory:" or parsed.host:
            raise UsageError(f"The database URL {describe(url)} names no file: use sqlite:///FILE (four slashes before an absolute path).")
        return parsed
    if parsed.drivername not in _MYSQL_DRIVERS:
        raise UsageError(f"The database {parsed.drivername} is not supported: {advice}.")
    if not parsed.database:
        raise UsageError(f"The database URL {describe(url)} names no database: {advice}.")
    unknown = sorted(name for name in parsed.query if name.startswith(("ssl", "tls")) and name not in _TLS_OPTIONS)
    if unknown:
        raise UsageError(f"The database URL {describe(url)} has {', '.join(unknown)}: of TLS it may say {', '.join(_TLS_OPTIONS)}.")
    return parsed.set(drivername="mysql+pymysql").update_query_dict({"charset": "utf8mb4"})


def for_dagster(url: str) -> str:
    """The address of a database that `open_database` takes, for the driver that Dagster uses, with the same rule of TLS.

    Raises `UsageError` for what that driver can't do.
    """
    parsed = _parse(url)
    said = {name: value for name, value in parsed.query.items() if name in _TLS_OPTIONS and isinstance(value, str)}
    disabled = _on(parsed, said.pop("ssl_disabled", "false"))
    if "ssl_key_password" in said:
        raise UsageError(f"The database URL {describe(url)} has ssl_key_password: Dagster's driver takes keys without a password alone.")
    plain = parsed.difference_update_query((*_TLS_OPTIONS, "charset")).set(drivername="mysql+mysqlconnector")
    if disabled:
        plain = plain.update_query_dict({"ssl_disabled": "true"})
    elif said or not _is_here(parsed):
        named = _on(parsed, said.pop("ssl_check_hostname", "true"))
        # Its C library looks at no authority but one that is named; the one in Python knows those of the system.
        verified = {"use_pure": "true", "ssl_verify_cert": "true", **({"ssl_verify_identity": "true"} if named else {})}
        plain = plain.update_query_dict({**said, **verified})
    return plain.render_as_string(hide_password=False)


class _SqliteEngine(sa.Engine):
    """An engine whose `begin()` takes SQLite's write lock at once: a snapshot that was read first can't be written on."""

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        with self.connect().execution_options(**{_BEGIN: "IMMEDIATE"}) as connection, connection.begin():
            yield connection


def immediate(connection: sa.Connection) -> sa.Connection:
    """The connection, with its next transactions taking SQLite's write lock at once. No effect elsewhere."""
    return connection.execution_options(**{_BEGIN: "IMMEDIATE"})


def _open_sqlite(url: sa.URL) -> sa.Engine:
    assert url.database is not None
    path = Path(url.database).expanduser().absolute()
    made = sa.create_engine(url.set(database=str(path)), connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)
    engine = _SqliteEngine(made.pool, made.dialect, made.url, hide_parameters=True)

    # The driver's own idea of when to begin leaves DDL and reads outside transactions; with it off, we begin them ourselves.
    @sa.event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(_BEGIN, 'DEFERRED')}")

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _switch_to_wal(path)
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    except (OSError, sqlite3.Error, sa.exc.DBAPIError) as error:
        reason = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        raise Unreachable(
            f"The SQLite database {path} cannot be opened ({reason}): check the path, its rights and the free space."
        ) from None
    return engine


def _switch_to_wal(path: Path) -> None:
    """Let readers and the writer work side by side. The switch doesn't wait for others by itself, so wait here."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def tend(engine: sa.Engine) -> str:
    """Bring a database's statistics and log in order, where it does not do so itself; says in a sentence what was done.

    Raises `Permanent` if an SQLite file is damaged.
    """
    if engine.dialect.name != "sqlite":
        return "the server keeps its tables in order."
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        found = cursor.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise Permanent(f"The SQLite database {engine.url.database} is damaged ({found}): stop all runs, and restore it from a backup.")
        cursor.execute("PRAGMA optimize")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    return "the file is sound, its statistics and its log are in order."


def _open_mysql(url: sa.URL, *, create: bool) -> sa.Engine:
    settings = {"local_infile": True, "sql_mode": _SQL_MODE}
    engine = _mysql_engine(url, {name: value for name, value in settings.items() if name not in url.query})
    try:
        _ask(engine)
    except sa.exc.DBAPIError as error:
        if not create or _code(error) != _UNKNOWN_DATABASE:
            raise _unreachable(url, error) from None
        _create_database(url)
        try:
            _ask(engine)
        except sa.exc.DBAPIError as again:
            raise _unreachable(url, again) from None
    return engine


def _mysql_engine(url: sa.URL, settings: Mapping[str, Any]) -> sa.Engine:
    timeout = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
    engine = sa.create_engine(
        url.difference_update_query(_TLS_OPTIONS),
        connect_args={**settings, **timeout, **_encryption(url)},
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,
    )
    sa.event.listen(engine, "do_connect", _connect_guarded)
    return engine


def _encryption(url: sa.URL) -> dict[str, Any]:
    """The driver's arguments for TLS. Left to itself it would speak to any server, and in the clear where that offers no TLS."""
    said = {name: value for name, value in url.query.items() if name in _TLS_OPTIONS and isinstance(value, str)}
    if _on(url, said.pop("ssl_disabled", "false")):
        return {"ssl_disabled": True}
    if not said and _is_here(url):
        return {}
    try:
        context = ssl.create_default_context(cafile=said.get("ssl_ca"))
        if "ssl_cert" in said:
            # With a password, even an empty one, nobody is asked for it on a terminal.
            context.load_cert_chain(said["ssl_cert"], said.get("ssl_key"), said.get("ssl_key_password", ""))
    except (OSError, ValueError) as error:  # an `ssl.SSLError` is an `OSError`
        files = ", ".join(said[name] for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in said)
        raise UsageError(f"The certificates of the database URL cannot be used ({error}): check {files}.") from None
    # What MySQL issues to itself on its first start is not in the letter of the standard, which Python 3.13 holds to.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = _on(url, said.get("ssl_check_hostname", "true"))
    return {"ssl": context}


def _on(url: sa.URL, value: str) -> bool:
    if value.lower() not in ("true", "1", "false", "0"):
        raise UsageError(f"The URL of the database on {_place(url)} says {value!r}: use true or false.")
    return value.lower() in ("true", "1")


def _is_here(url: sa.URL) -> bool:
    """Whether the server is reached without leaving this machine."""
    if "unix_socket" in url.query or url.host in (None, "", "localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(str(url.host)).is_loopback
    return False


def _connect_guarded(_dialect: object, _record: object, arguments: list[Any], settings: Mapping[str, Any]) -> WireConnection:
    return WireConnection(*arguments, **settings)


def _ask(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")


def _create_database(url: sa.URL) -> None:
    server = _mysql_engine(url.set(database=""), {})
    try:
        name = server.dialect.identifier_preparer.quote_identifier(url.database or "")
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    except sa.exc.DBAPIError as error:
        if _code(error) in (_DENIED_FOR_DATABASE, _ACCESS_DENIED):
            raise Unreachable(
                f"The database {url.database} does not exist on {_place(url)} and user {url.username} may not create it: let an "
                f"administrator run CREATE DATABASE `{url.database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin and grant all rights on it."
            ) from None
        raise _unreachable(url, error) from None
    finally:
        server.dispose()


def _unreachable(url: sa.URL, error: sa.exc.DBAPIError) -> SalesmartError:
    code, place = _code(error), _place(url)
    if code in (_ACCESS_DENIED, _DENIED_WITHOUT_PASSWORD):
        return Unreachable(f"The database server {place} refuses user {url.username}: check the user and the password in the database URL.")
    if code in (_DENIED_FOR_DATABASE, _UNKNOWN_DATABASE):
        return Unreachable(
            f"User {url.username} may not use the database {url.database} on {place}, or it does not exist: let an administrator "
            "create it and grant the user all rights on it."
        )
    cause = getattr(error.orig, "original_exception", None)
    if isinstance(cause, ssl.SSLError):
        said = getattr(cause, "verify_message", None) or cause.reason or str(cause)
        return Unreachable(
            f"The database server {place} cannot be trusted: {said.rstrip('.')}. No password was sent. If an authority of your own "
            "vouches for it, name its file in the database URL: ?ssl_ca=/path/to/ca.pem."
        )
    if code == _NO_TLS:
        return Unreachable(
            f"The database server {place} offers no encryption (TLS). No password was sent. Turn TLS on there; or, if nobody can listen on "
            "the way, say so in the database URL: ?ssl_disabled=true."
        )
    return Unreachable(
        f"The database {url.database} on {place} does not answer (error {code}): check host and port in the database URL, and that the "
        "server is running and can be reached from here."
    )


def _code(error: sa.exc.DBAPIError) -> int | None:
    """MySQL's number of an error."""
    arguments = error.orig.args if isinstance(error.orig, pymysql.err.Error) else ()
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _place(url: sa.URL) -> str:
    socket = url.query.get("unix_socket")
    return str(socket) if socket else f"{url.host or 'localhost'}:{url.port or 3306}"
