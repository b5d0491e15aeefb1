"""Opening databases: created where they may be, one clear sentence where they can't be had, transactions that are transactions."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from salesmart_assets.errors import Unreachable, UsageError
from salesmart_assets.publish import bulk_load_method, describe, open_database
from salesmart_assets_tests.conftest import MariaDb

counter = sa.Table("counter", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("value", sa.String(3)))


def test_a_missing_database_is_created(database_url: str) -> None:
    """Nobody has to create the database by hand."""
    with open_database(database_url).connect() as connection:
        assert connection.scalar(sa.select(sa.literal(1))) == 1


def test_the_created_database_tells_all_texts_apart(mariadb: MariaDb) -> None:
    """A database that the program creates takes any text, and takes `A` and `a` for two."""
    open_database(mariadb.url("created")).dispose()
    found = mariadb.execute("SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = 'created'")
    assert found == [("utf8mb4_bin",)]


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"])
def test_every_spelling_of_mysql_means_the_same_driver(mariadb: MariaDb, scheme: str) -> None:
    """`mysql://` and `mariadb://` need no knowledge of Python's drivers."""
    engine = open_database(mariadb.url("spelling").replace("mysql+pymysql", scheme))
    assert (engine.dialect.name, engine.dialect.driver) == ("mysql", "pymysql")


@pytest.mark.parametrize(
    "url", ["postgresql://ann:geheim@h/d", "mysql+mysqldb://h/d", "sqlite://", "sqlite:///:memory:", "mysql://h", "??"]
)
def test_another_url_is_a_usage_error(url: str) -> None:
    """A URL of another kind is refused with what to write instead, and without its password."""
    with pytest.raises(UsageError, match="use sqlite:///FILE") as caught:
        open_database(url)
    assert "geheim" not in str(caught.value)


def test_a_server_that_does_not_answer_is_named() -> None:
    """Host, port and database are in the message; the password is not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(Unreachable) as caught:
            open_database(f"mysql+pymysql://ann:geheim@127.0.0.1:{port}/marts")
    assert f"The database marts on 127.0.0.1:{port} does not answer" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_wrong_credentials_are_named(mariadb: MariaDb) -> None:
    """A wrong password is told as such, and not repeated."""
    with pytest.raises(Unreachable, match="refuses user salesmart: check the user and the password") as caught:
        open_database(mariadb.url("marts", password="geheim"))
    assert "geheim" not in str(caught.value)


def test_a_database_that_may_not_be_created_is_named(mariadb: MariaDb) -> None:
    """Who may not create the database is told what an administrator must do."""
    mariadb.execute("CREATE USER IF NOT EXISTS 'reader'@'%' IDENTIFIED BY 'r'", "GRANT SELECT ON *.* TO 'reader'@'%'")
    with pytest.raises(Unreachable, match="user reader may not create it: let an administrator run CREATE DATABASE `nowhere`"):
        open_database(mariadb.url("nowhere", "reader", "r"))
    mariadb.execute("CREATE USER IF NOT EXISTS 'nobody'@'%' IDENTIFIED BY 'r'")
    with pytest.raises(Unreachable, match="let an administrator create it and grant"):
        open_database(mariadb.url("nowhere", "nobody", "r"))


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    """An SQLite path that can't be used is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable, match=r"file/marts.db cannot be opened"):
        open_database(f"sqlite:///{tmp_path / 'file' / 'marts.db'}")


def test_the_password_is_masked_wherever_it_stands() -> None:
    """A described URL can be shown to anybody."""
    assert describe("mysql://ann:geheim@h:1/d?ssl_ca=x") == "mysql://ann:***@h:1/d?ssl_ca=x"
    assert "geheim" not in describe("mysql://ann@h:1/d?password=geheim")
    assert "geheim" not in describe("mysql:ann:geheim@@@")
    assert "geheim" not in describe("mysql+pymysql://ann:an@geheim@h:1/d")
    with pytest.raises(UsageError, match=r"with special signs in the password written as %XX") as refused:
        open_database("mysql+pymysql://ann:an@geheim@h:1/d")
    assert "geheim" not in str(refused.value)


def test_what_was_rolled_back_is_gone(database_url: str) -> None:
    """A transaction that failed leaves no rows, on SQLite no tables either."""
    engine = open_database(database_url)
    with engine.begin() as connection:
        counter.create(connection)
    other = sa.Table("other", sa.MetaData(), sa.Column("id", sa.Integer))
    with pytest.raises(KeyError), engine.begin() as connection:
        connection.execute(sa.insert(counter).values(id=1, value="1"))
        if engine.dialect.name == "sqlite":
            other.create(connection)
        raise KeyError
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(counter)) == 0
    assert sa.inspect(engine).get_table_names() == ["counter"]


def test_what_was_read_in_a_sqlite_transaction_can_be_written_on(tmp_path: Path) -> None:
    """Many writers that each read and then write lose no update and meet no "database is locked"."""
    url = f"sqlite:///{tmp_path / 'counter.db'}"
    engine = open_database(url)
    with engine.begin() as connection:
        counter.create(connection)
        connection.execute(sa.insert(counter).values(id=1, value="0"))

    def add() -> None:
        mine = open_database(url)
        for _ in range(10):
            with mine.begin() as writing:
                value = int(writing.scalar(sa.select(counter.c.value)) or 0)
                writing.execute(sa.update(counter).values(value=str(value + 1)))
        mine.dispose()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.scalar(sa.select(counter.c.value)) == "40"


def test_a_sqlite_reader_does_not_wait_for_the_writer(tmp_path: Path) -> None:
    """While a writer is in the middle of its transaction, readers see the state before."""
    engine = open_database(f"sqlite:///{tmp_path / 'counter.db'}")
    with engine.begin() as connection:
        counter.create(connection)
    with engine.begin() as writing, engine.connect() as reading:
        writing.execute(sa.insert(counter).values(id=1, value="1"))
        assert reading.scalar(sa.select(sa.func.count()).select_from(counter)) == 0


def test_mysql_does_not_shorten_a_value(mariadb: MariaDb) -> None:
    """A value that does not fit its column is an error, whatever the server's default mode."""
    mariadb.execute("SET GLOBAL sql_mode = ''")
    try:
        engine = open_database(mariadb.url("strict"))
        with engine.begin() as connection:
            counter.create(connection)
        with pytest.raises(sa.exc.DataError), engine.begin() as connection:
            connection.execute(sa.insert(counter).values(id=1, value="long"))
    finally:
        mariadb.execute("SET GLOBAL sql_mode = DEFAULT")


def test_the_way_to_load_is_what_the_server_allows(mariadb: MariaDb, tmp_path: Path) -> None:
    """Rows go in bulk where the server takes them in bulk, and as INSERTs where not."""
    engine = open_database(mariadb.url("loading"))
    assert bulk_load_method(engine) == "load_data"
    mariadb.execute("SET GLOBAL local_infile = 0")
    try:
        assert bulk_load_method(engine) == "insert"
    finally:
        mariadb.execute("SET GLOBAL local_infile = 1")
    assert bulk_load_method(open_database(f"sqlite:///{tmp_path / 'loading.db'}")) == "insert"
