"""What survives: a publisher killed at any point, a connection cut at any point."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from salesmart_assets import faultpoints
from salesmart_assets.errors import OutcomeUnknown, Retryable
from salesmart_assets.publish import Publisher, open_database, read_table
from salesmart_assets_tests.conftest import MariaDb, MariaDbServer
from salesmart_assets_tests.publish import crash_child
from salesmart_assets_tests.publish.samples import MEMBERS, NOVEMBER, OCTOBER, TEAM, Lake, member_load, team_load


@pytest.mark.parametrize(
    ("point", "stands"), [("publish.loaded", {1: 1}), ("publish.before_commit", {1: 1}), ("publish.committed", {2: 2})]
)
def test_a_killed_publisher_leaves_the_old_or_the_new(database_url: str, point: str, stands: dict[int, int]) -> None:
    """Killed at any point, all marts show the old or all show the new, nothing is left behind, and the next run completes it."""
    publisher = Publisher(open_database(database_url), [TEAM, MEMBERS])
    publisher.publish([team_load(1), member_load(1)], "before")
    child = subprocess.run(
        [sys.executable, "-m", crash_child.__name__, database_url, "2", "2"],
        env=os.environ | {faultpoints.VARIABLE: point},
        check=False,
        capture_output=True,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    engine = open_database(database_url)
    ((version, total),) = stands.items()
    assert set(publisher.published().values()) == {version}
    assert set(read_table(engine, TEAM)["total_sales"].to_pylist()) == {Decimal(total)}
    assert set(read_table(engine, MEMBERS)["price"].to_pylist()) == {Decimal(total)}
    done = Publisher(engine, [TEAM, MEMBERS]).publish([team_load(2, version=2), member_load(2, version=2)], "after")
    assert [p.changed_rows for p in done] == ([0, 0] if version == 2 else [3, 2])
    assert set(read_table(engine, TEAM)["total_sales"].to_pylist()) == {Decimal(2)}
    assert sorted(sa.inspect(engine).get_table_names()) == ["dim_member", "publication", "team"]


class CuttingProxy:
    """Stands between client and server, and cuts the connection at the COMMIT it was armed for.

    `before`: the server never gets it. `after`: the server gets it, the client never hears of it. `dead`: as `after`, and
    nobody can connect any more.
    """

    def __init__(self, port: int) -> None:
        self.armed = ""
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        while data := _receive(client):
            if self.armed and data[4:] == b"\x03COMMIT":
                how, self.armed = self.armed, ""
                if how == "dead":
                    self.close()
                _hang_up(client)
                if how != "before":
                    server.sendall(data)
                break
            server.sendall(data)
        _hang_up(client)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        _hang_up(self._listener)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    while data := _receive(source):
        with contextlib.suppress(OSError):
            target.sendall(data)
    _hang_up(target)
    source.close()


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 16)
    except OSError:
        return b""


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@pytest.fixture
def proxy(mariadb: MariaDb) -> Iterator[CuttingProxy]:
    mariadb.execute("DROP DATABASE IF EXISTS cut")
    proxy = CuttingProxy(mariadb.port)
    yield proxy
    proxy.close()


def _publisher(mariadb: MariaDb, proxy: CuttingProxy, how: str, lock_seconds: float = 60) -> Publisher:
    def arm(step: str) -> None:
        if step == "publish.before_commit":
            proxy.armed = how

    engine = open_database(MariaDb(proxy.port, mariadb.user, mariadb.password).url("cut"))
    publisher = Publisher(engine, [TEAM, MEMBERS], on_step=arm, lock_seconds=lock_seconds)
    publisher.ensure_schema()
    return publisher


def _standing(mariadb: MariaDb) -> set[object]:
    return set(read_table(open_database(mariadb.url("cut")), TEAM)["total_sales"].to_pylist())


def test_a_connection_lost_before_the_commit_can_be_tried_again(mariadb: MariaDb, proxy: CuttingProxy) -> None:
    """The server never got the commit: nothing is published, and trying again is right."""
    publisher = _publisher(mariadb, proxy, "before")
    with pytest.raises(Retryable, match="lost before the commit; nothing was published"):
        publisher.publish([team_load(1)], "run-1")
    assert _standing(mariadb) == set()
    assert [p.changed_rows for p in _publisher(mariadb, proxy, "").publish([team_load(1)], "run-2")] == [3]


def test_a_commit_whose_answer_was_lost_is_found(mariadb: MariaDb, proxy: CuttingProxy) -> None:
    """The server committed and the answer got lost: the publication is found and counts."""
    (publication,) = _publisher(mariadb, proxy, "after").publish([team_load(1)], "run-1")
    assert publication.changed_rows == 3
    assert _standing(mariadb) == {Decimal(1)}


def test_a_commit_that_nobody_can_tell_of_is_unknown(mariadb: MariaDb, proxy: CuttingProxy) -> None:
    """The server can't be asked any more: the outcome is unknown, and the error says where to look."""
    with pytest.raises(OutcomeUnknown, match="look at the table `publication`"):
        _publisher(mariadb, proxy, "dead", lock_seconds=1).publish([team_load(1)], "run-1")


def test_a_lost_connection_can_be_tried_again(mariadb: MariaDb) -> None:
    """A session that the server ended in the middle leaves nothing behind; the same call works later."""
    engine = open_database(mariadb.url("ended"))

    def end(step: str) -> None:
        if step == "publish.loaded":
            for (connection,) in mariadb.execute("SELECT id FROM information_schema.processlist WHERE db = 'ended'"):
                mariadb.execute(f"KILL {connection}")

    with pytest.raises(Retryable, match="was lost; nothing was published"):
        Publisher(engine, [TEAM], on_step=end).publish([team_load(1)], "run-1")
    assert [p.changed_rows for p in Publisher(engine, [TEAM]).publish([team_load(1)], "run-2")] == [3]


def _at(engine: sa.Engine, when: str, beginning: str, act: Callable[[Any], None]) -> None:
    """Act once, `before` or `after` the first statement that begins so."""
    done: list[str] = []

    def look(_connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
        if not done and statement.strip().startswith(beginning):
            done.append(statement)
            act(cursor.connection)

    sa.event.listen(engine, f"{when}_cursor_execute", look)


@pytest.fixture(scope="module")
def own_server() -> Iterator[MariaDbServer]:
    """A server of these tests alone, that keeps what it has committed when it is killed."""
    with MariaDbServer(durable=True) as server:
        yield server


STEPS = {
    "the first table is made": ("after", "CREATE TABLE publication"),
    "the schema is ready": ("before", "CREATE TEMPORARY TABLE"),
    "the table of keys is made": ("after", "CREATE TEMPORARY TABLE"),
    "what stands is added up": ("after", "SELECT count(*)"),
    "what is gone is taken out": ("after", "DELETE FROM team"),
    "rows are loaded": ("after", "LOAD DATA LOCAL"),
    "rows are verified": ("before", "DELETE FROM publication"),
    "the first slice is on record": ("after", "INSERT INTO publication"),
    "before the commit": ("step", "publish.before_commit"),
    "committed": ("step", "publish.committed"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_server_publishes_all_or_nothing(own_server: MariaDbServer, step: str) -> None:
    """A server killed and started again at any step of a publication shows the old or the new; the next run makes all right, once."""
    url = own_server.database.url("killed")
    own_server.database.execute("DROP DATABASE IF EXISTS killed")
    lake = Lake()
    when, beginning = STEPS[step]
    new = step == "the first table is made"
    if not new:
        Publisher(open_database(url), [TEAM, MEMBERS]).publish([lake(team_load(1)), lake(member_load(1))], "before")

    def kill(_: object = None) -> None:
        own_server.kill()
        own_server.start()

    engine = open_database(url)
    publisher = Publisher(engine, [TEAM, MEMBERS], on_step=lambda name: kill() if (when, name) == ("step", beginning) else None)
    if when != "step":
        _at(engine, when, beginning, kill)
    loads = [lake(team_load(2, sellers=4, version=2)), lake(team_load(2, version=2, month=OCTOBER)), lake(member_load(2, version=2))]
    if step == "committed":
        assert [p.changed_rows for p in publisher.publish(loads, "killed")] == [4, 3, 2]
    else:
        with pytest.raises(Retryable, match=r"was lost.*nothing was published"):
            publisher.publish(loads, "killed")
        if not new:
            assert set(read_table(open_database(url), TEAM)["total_sales"].to_pylist()) == {Decimal(1)}
            assert set(read_table(open_database(url), MEMBERS)["price"].to_pylist()) == {Decimal(1)}
    after = Publisher(open_database(url), [TEAM, MEMBERS])
    assert [p.changed_rows for p in after.publish(loads, "after")] == ([0, 0, 0] if step == "committed" else [4, 3, 2])
    for name, table in (("team", TEAM), ("dim_member", MEMBERS)):
        standing = read_table(open_database(url), table)
        wanted = [made.read() for made in loads if made.table.name == name]
        assert standing.sort_by([(key, "ascending") for key in table.key]) == pa.concat_tables(wanted[::-1]).combine_chunks()
    with open_database(url).connect() as connection:
        assert connection.execute(sa.text("SELECT mart, slice, lake_version FROM publication ORDER BY mart, slice")).all() == [
            ("dim_member", "all", 2),
            ("team", OCTOBER, 2),
            ("team", NOVEMBER, 2),
        ]
        assert sorted(sa.inspect(connection).get_table_names()) == ["dim_member", "publication", "team"]


def test_a_connection_lost_at_any_statement_publishes_nothing(mariadb: MariaDb) -> None:
    """Whichever statement of a publication the connection breaks at: readers see the old, and the next run publishes all, once."""
    engine, watch = (open_database(mariadb.url("broken")) for _ in range(2))
    lake, publisher = Lake(), Publisher(engine, [TEAM, MEMBERS])
    passed: list[str] = []
    cut_at: int | None = None

    @sa.event.listens_for(engine, "before_cursor_execute")
    def cut(_connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
        if len(passed) == cut_at:
            _hang_up(cursor.connection._sock)
        passed.append(statement)

    def publish(total: int) -> list[int]:
        passed.clear()
        loads = [lake(team_load(total, version=total)), lake(team_load(total, 4, total, OCTOBER)), member_load(total, version=total)]
        return [p.changed_rows for p in publisher.publish(loads, "run")]

    assert publish(1) == [3, 4, 2]
    assert publish(2) == [3, 4, 2]
    statements = len(passed)
    assert statements > 20
    for number in range(statements):
        total, cut_at = 3 + number, number
        with pytest.raises(Retryable, match="was lost; nothing was published"):
            publish(total)
        assert set(read_table(watch, TEAM)["total_sales"].to_pylist()) == {Decimal(total - 1)}
        cut_at = None
        assert publish(total) == [3, 4, 2]
        assert set(read_table(watch, TEAM)["total_sales"].to_pylist()) == {Decimal(total)}
        assert set(read_table(watch, MEMBERS)["price"].to_pylist()) == {Decimal(total)}
