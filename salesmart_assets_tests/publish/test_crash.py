"""What survives: a publisher killed at any point, a connection cut at any point."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest
import sqlalchemy as sa

from salesmart_assets import faultpoints
from salesmart_assets.errors import OutcomeUnknown, Retryable
from salesmart_assets.publish import Publisher, open_database, read_table
from salesmart_assets_tests.conftest import MariaDb
from salesmart_assets_tests.publish import crash_child
from salesmart_assets_tests.publish.samples import MEMBERS, TEAM, member_load, team_load


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
