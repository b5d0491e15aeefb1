"""Where transformations run: starting, reaching and stopping the engine that the setting `SALESMART_SPARK` names.

Whatever the engine, it is reached over Spark Connect at one address, so the code above sees no difference. Apache Spark
runs in a process of its own, so that it can live beside Sail and dies with the process that started it.
Belongs here: engines and sessions. Does not belong here: what is computed with them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, final

from salesmart_assets.errors import Unreachable, UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.connect.client.retries import RetryPolicy

Kind = Literal["sail", "spark", "connect"]

SESSION_CONFIG = {"spark.sql.session.timeZone": "UTC"}
"""What every session is set to: times are UTC on all engines, whatever the machine's zone."""

_LEAST_POOL_BYTES = 1 << 30
_MASTER = re.compile(r"^(local(\[[^\]]+\])?|spark://.+)$")
_QUIET = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
_LOCAL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # 200 shuffle partitions, Spark's default, are for clusters: on one machine most of them would be empty.
    "spark.sql.shuffle.partitions": str(max(4, os.cpu_count() or 1)),
}
# The server prints its port and then lives until its standard input closes: also when the parent is killed. What it is set to
# comes that way, too: there may be keys of S3 in it, and everybody on the machine sees the arguments of a process.
_SERVER = """
import json, sys
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession
config = json.loads(sys.stdin.readline())
session = SparkSession(SparkContext.getOrCreate(SparkConf().setAll(list(config.items()))))
service = getattr(session._jvm.org.apache.spark.sql.connect.service, "SparkConnectService$")
print("port", getattr(service, "MODULE$").localPort(), flush=True)
sys.stdin.read()
session.stop()
"""


@final
class Engine:
    """A running engine and the address under which it is reached.

    `kind` is `sail` (LakeSail's engine in this process), `spark` (Apache Spark, started by us with a given master) or
    `connect` (somebody else's Spark Connect server, which `stop` leaves alone). `remote` is its `sc://` address.
    """

    __slots__ = ("_lock", "_server", "_session", "kind", "remote")

    def __init__(self, kind: Kind, remote: str, server: Any = None) -> None:
        self.kind: Kind = kind
        self.remote = remote
        self._server = server
        self._session: Any = None  # a Connect session: the class that pyspark declares lacks `is_stopped`
        self._lock = threading.Lock()

    @classmethod
    def start(cls, setting: str, config: Mapping[str, str] | None = None) -> Engine:
        """Start the engine that `setting` names: `sail`, `local[N]`, `spark://host:port`, or reach `sc://host:port`.

        `config` is what Apache Spark is set to besides; other engines have no use for it.
        Raises `UsageError` for anything else and `Unreachable` when Apache Spark cannot be started.
        """
        if setting == "sail":
            return cls._sail()
        if setting.startswith("sc://"):
            return cls("connect", setting)
        if _MASTER.match(setting):
            return cls._spark(setting, config or {})
        raise UsageError(f"SALESMART_SPARK={setting} names no engine: use sail, local[*], spark://host:7077 or sc://host:15002.")

    @classmethod
    def _sail(cls) -> Engine:
        os.environ.setdefault("RUST_LOG", "error")
        # Left to itself it ends a session that nobody used for five minutes, and reading the files of a large batch takes longer.
        os.environ.setdefault("SAIL_SPARK__SESSION_TIMEOUT_SECS", str(7 * 86_400))
        # Without a bound it takes what it can get. With one it sorts and adds up on disk what does not fit, which costs no time
        # that could be measured; only the smaller side of a join must fit.
        os.environ.setdefault("SAIL_RUNTIME__MEMORY_POOL__TYPE", "fair")
        os.environ.setdefault("SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE", str(max(_LEAST_POOL_BYTES, usable_memory() // 8)))
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        address = server.listening_address
        if address is None:
            raise Unreachable("Sail started but listens on no port: look at the messages above, then try again.")
        return cls("sail", f"sc://{address[0]}:{address[1]}", server)

    @classmethod
    def _spark(cls, master: str, more: Mapping[str, str]) -> Engine:
        config = {
            "spark.app.name": "salesmart",
            "spark.master": master,
            "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": "0",
            **SESSION_CONFIG,
            **_QUIET,
            **(_LOCAL if master.startswith("local") else {}),
            **more,
        }
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_CONNECT_", "SPARK_REMOTE", "SPARK_LOCAL_REMOTE"))}
        # On the machines of a cluster Python may lie elsewhere.
        environment.setdefault("PYSPARK_PYTHON", sys.executable)
        log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - lives as long as the server
        server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        process = _Process(server, log)
        port = process.port(config)
        if port is None:
            reason = process.last_words()
            process.stop()
            raise Unreachable(
                f"Apache Spark with master {master} did not start: {reason} It needs Java 17 or later (JAVA_HOME, or java on the PATH); "
                "SALESMART_SPARK=sail needs none."
            )
        return cls("spark", f"sc://127.0.0.1:{port}", process)

    def session(self) -> SparkSession:
        """The engine's session, made at the first call; it may be used by many threads."""
        with self._lock:
            if self._session is None or self._session.is_stopped:
                self._session = _connect(self.remote)
            session: SparkSession = self._session
            return session

    def stop(self) -> None:
        """End the session and what was started. Stopping twice is harmless."""
        with self._lock:
            if self._session is not None and not self._session.is_stopped:
                self._session.stop()
            self._session = None
            if self._server is not None:
                self._server.stop()
                self._server = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class _Process:
    """The process that Apache Spark runs in."""

    __slots__ = ("_log", "_process")

    def __init__(self, process: subprocess.Popen[str], log: IO[str]) -> None:
        self._process = process
        self._log = log

    def port(self, config: Mapping[str, str]) -> int | None:
        """The port of the Spark Connect server, once it listens with these settings; None if the process ended before."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it ended before it read; why is in its log
            self._process.stdin.write(json.dumps(config) + "\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("port "):
                return int(line.split()[1])
        return None

    def last_words(self) -> str:
        """The last line the process wrote to its log."""
        self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return f"{lines[-1]}." if lines else "it said nothing."

    def stop(self) -> None:
        """Let the server end by itself; end it by force if it does not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


def usable_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or fewer where a container has fewer."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdigit() else machine


def jars_of(folder: Path) -> dict[str, str]:
    """The setting by which Apache Spark, and each machine of its cluster, gets the jars of a folder. Raises `UsageError` without any."""
    jars = sorted(folder.expanduser().absolute().glob("*.jar"))
    if not jars:
        raise UsageError(f"SALESMART_SPARK_JARS={folder} holds no jars: `make jars` fetches what a lake on S3 needs into .jars.")
    return {"spark.jars": ",".join(map(str, jars))}


def _connect(remote: str) -> SparkSession:
    with warnings.catch_warnings():
        # pyspark's client looks up optional and renamed parts of pandas, pyarrow and grpc as it is imported.
        warnings.simplefilter("ignore")
        from pyspark.sql import SparkSession

        # `create` and not `getOrCreate`: that one gives any session of the process, perhaps another engine's.
        session: SparkSession = SparkSession.builder.remote(remote).create()
    # Whatever fails is raised as well; the client would also print it, and at its end a call that Sail does not know.
    logging.getLogger("pyspark.sql.connect.logging").setLevel(logging.CRITICAL + 1)
    connected: Any = session  # pyspark declares the class of sessions without Connect
    connected.client.set_retry_policies([*connected.client.get_retry_policies(), _again_if_garbled()])
    for key, value in SESSION_CONFIG.items():
        session.conf.set(key, value)
    return session


def _again_if_garbled() -> RetryPolicy:
    """Asks again where gRPC could not make sense of an answer, as happens now and then.

    Asking twice is harmless: what a plan gives goes on after the last part that came, and nothing is written by plans.
    """
    import grpc
    from pyspark.sql.connect.client.retries import RetryPolicy

    class Garbled(RetryPolicy):
        def can_retry(self, exception: BaseException) -> bool:
            return isinstance(exception, grpc.RpcError) and "Exception deserializing response" in str(exception)

    return Garbled(max_retries=3, initial_backoff=50)


def frame_of(session: SparkSession, rows: pa.Table) -> DataFrame:
    """Rows from Arrow as a frame of the same types; also none at all, from which the client by itself learns no types."""
    if rows.num_rows:
        return session.createDataFrame(rows)
    from pyspark.sql.pandas.types import from_arrow_schema

    return session.createDataFrame([], schema=from_arrow_schema(rows.schema))
