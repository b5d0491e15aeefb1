"""Fixtures that tests of several packages share: real databases, private to the test run."""

from __future__ import annotations

import ctypes
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A MariaDB server of this test process alone, that offers no encryption."""
    with running_mariadb("--skip-ssl") as database:
        yield database


@contextmanager
def running_mariadb(*options: str) -> Iterator[MariaDb]:
    """A MariaDB server with these options, in a temporary folder, gone with the process."""
    server, install = _program("mariadbd", "mysqld"), _program("mariadb-install-db", "mysql_install_db")
    # Not pytest's folder: the path of a Unix socket may have 107 characters at most.
    home = Path(tempfile.mkdtemp(prefix="salesmart-db-"))
    try:
        subprocess.run(
            [
                install,
                "--no-defaults",
                f"--datadir={home / 'data'}",
                f"--user={getpass.getuser()}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-log-file-size=4M",
                "--innodb-buffer-pool-size=24M",
            ],
            check=True,
            capture_output=True,
        )
        process, database = _start(server, home, options)
        try:
            yield database
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


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


def _start(server: str, home: Path, options: Sequence[str]) -> tuple[subprocess.Popen[bytes], MariaDb]:
    """Start the server on a free port; another process may snatch the port in between, so try a few."""
    user, password = "salesmart", secrets.token_hex(8)
    (home / "init.sql").write_text(
        f"CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON *.* TO '{user}'@'%' WITH GRANT OPTION;\n"
        f"ALTER USER root@localhost IDENTIFIED BY '{password}';\n"
    )
    log = home / "server.log"
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    server,
                    "--no-defaults",
                    f"--user={getpass.getuser()}",
                    f"--datadir={home / 'data'}",
                    f"--socket={home / 's'}",
                    f"--pid-file={home / 'pid'}",
                    f"--init-file={home / 'init.sql'}",
                    f"--tmpdir={home}",
                    f"--port={port}",
                    "--bind-address=127.0.0.1",
                    "--skip-name-resolve",
                    "--skip-log-bin",
                    "--performance-schema=OFF",
                    "--innodb-buffer-pool-size=24M",
                    "--innodb-log-file-size=4M",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--innodb-flush-method=nosync",
                    "--innodb-doublewrite=OFF",
                    "--key-buffer-size=1M",
                    "--table-open-cache=200",
                    *options,
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        database = MariaDb(port, user, password)
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                database.execute("SELECT 1")
                return process, database
            except pymysql.err.OperationalError:
                time.sleep(0.05)
        process.kill()
        process.wait()
    pytest.fail(f"mariadbd does not start; the end of its log:\n{log.read_text(errors='replace')[-2000:]}", pytrace=False)


def _die_with_parent() -> None:
    """Have the kernel end the server when this process ends, even if it is killed."""
    pr_set_pdeathsig = 1
    if ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL) != 0:
        os._exit(1)
