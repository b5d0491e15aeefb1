"""Fixtures that tests of several packages share: real databases, private to the test run."""

from __future__ import annotations

import getpass
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest

_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class MariaDb:
    """A private MariaDB server: its address and a user that may do everything."""

    port: int
    user: str
    password: str
    host: str = "127.0.0.1"

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """The SQLAlchemy URL of a database, which need not exist."""
        return f"mysql+pymysql://{user or self.user}:{password or self.password}@{self.host}:{self.port}/{database}"

    def execute(self, *statements: str) -> list[tuple[object, ...]]:
        """Run statements as the all-mighty user, outside any database; the rows of the last one."""
        connection = pymysql.connect(host=self.host, port=self.port, user=self.user, password=self.password, autocommit=True)
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


class MariaDbServer:
    """A MariaDB server with these options, in a temporary folder, gone with this process; it offers no encryption unless they say so.

    `durable` keeps what was committed when it is killed.
    """

    def __init__(self, *options: str, durable: bool = False) -> None:
        self._options = options or ("--skip-ssl",)
        self._server, install = _program("mariadbd", "mysqld"), _program("mariadb-install-db", "mysql_install_db")
        # Not pytest's folder: the path of a Unix socket may have 107 characters at most.
        self._home = Path(tempfile.mkdtemp(prefix="salesmart-db-"))
        self._safety = (
            ("--innodb-flush-log-at-trx-commit=2",) if durable else ("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF")
        )
        made = subprocess.run(
            [
                install,
                "--no-defaults",
                f"--datadir={self._home / 'data'}",
                # Its own: at its start, a server deletes temporary tables that it finds there, another's too.
                f"--tmpdir={self._home}",
                f"--user={getpass.getuser()}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-log-file-size=4M",
                "--innodb-buffer-pool-size=24M",
            ],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if made.returncode:
            pytest.fail(f"{install} ends with {made.returncode}:\n{made.stdout[:2000]}", pytrace=False)
        user, password = "salesmart", secrets.token_hex(8)
        (self._home / "init.sql").write_text(
            f"CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON *.* TO '{user}'@'%' WITH GRANT OPTION;\n"
            f"ALTER USER root@localhost IDENTIFIED BY '{password}';\n"
        )
        # Another process may snatch a free port before the server has it, so try a few.
        for _ in range(5):
            self.database = MariaDb(free_port(), user, password)
            try:
                self.start()
                return
            except _DoesNotStart:
                continue
        pytest.fail(f"mariadbd does not start; the end of its log:\n{self._log[-2000:]}", pytrace=False)

    def start(self) -> None:
        """Start it, on the port that it has had, and wait until it answers."""
        with (self._home / "server.log").open("wb") as output:
            self._process = subprocess.Popen(
                dying_with_parent(
                    [
                        self._server,
                        "--no-defaults",
                        f"--user={getpass.getuser()}",
                        f"--datadir={self._home / 'data'}",
                        f"--socket={self._home / 's'}",
                        f"--pid-file={self._home / 'pid'}",
                        f"--init-file={self._home / 'init.sql'}",
                        f"--tmpdir={self._home}",
                        f"--port={self.database.port}",
                        "--bind-address=127.0.0.1",
                        "--skip-name-resolve",
                        "--skip-log-bin",
                        "--performance-schema=OFF",
                        "--innodb-buffer-pool-size=24M",
                        "--innodb-log-file-size=4M",
                        "--innodb-flush-method=nosync",
                        "--key-buffer-size=1M",
                        "--table-open-cache=200",
                        *self._safety,
                        *self._options,
                    ]
                ),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                self.database.execute("SELECT 1")
                return
            except pymysql.err.OperationalError:
                time.sleep(0.05)
        self.kill()
        raise _DoesNotStart(self._log[-2000:])

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._process.kill()
        self._process.wait()

    @property
    def process(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def _log(self) -> str:
        return (self._home / "server.log").read_text(errors="replace")

    def __enter__(self) -> MariaDbServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)


class _DoesNotStart(Exception):
    """The end of the server's log."""


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A MariaDB server of this test process alone, in a temporary folder, gone with the process."""
    with MariaDbServer() as server:
        yield server.database


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that does not exist yet: one test run on SQLite, one on MariaDB."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'database' / 'marts.db'}"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    name = f"salesmart_{uuid.uuid4().hex[:12]}"
    yield server.url(name)
    server.execute(f"DROP DATABASE IF EXISTS {name}")


def _program(*names: str) -> str:
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin")
        if found:
            return found
    pytest.fail(
        f"{names[0]} is not installed: run `make test` as root on Debian, or install MariaDB (apt install mariadb-server).", pytrace=False
    )


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    return free_ports(1)[0]


# What the process does between its start and the program's; 1 is PR_SET_PDEATHSIG.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if ctypes.CDLL(None).prctl(1, signal.SIGKILL) != 0:
    sys.exit("the kernel does not promise to end this process with its parent")
os.execvp(sys.argv[1], sys.argv[1:])
"""


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """The command, such that the kernel ends what it starts when this process ends, even if it is killed.

    Not by `preexec_fn`: for that Python forks this process, and gRPC, which Sail and Dagster bring into it, then aborts the child
    now and then.
    """
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, *command] if sys.platform == "linux" else list(command)
