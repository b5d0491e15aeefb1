"""A real cluster on the loopback interface: a Spark master, two workers, and an S3 store that writes down who asked for what."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pyspark
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from salesmart_assets_tests import small_spark
from salesmart_assets_tests.conftest import dying_with_parent, free_ports

ROOT = Path(__file__).parent.parent.parent
JARS = ROOT / ".jars"
KEYS = {"aws_access_key_id": "k" * 8, "aws_secret_access_key": "s" * 8}
LAKE_BUCKET = "lake-of-a-cluster"
"""All of moto's stores in a process have the same buckets."""
_WHO = "AWS_SDK_UA_APP_ID"
"""Amazon's libraries, those of Python and of Java, put this variable's value into each request."""
PARTITIONS = 2
"""As many as there are machines, so that each writes, too."""
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the store: who made it, as its library says; its method and its path; and on which condition."""

    who: str
    method: str
    path: str
    if_none_match: str


@dataclass
class Store:
    """An S3 store with an access log. It can let a machine wait for the objects that it asks for."""

    url: str = ""
    log: list[Request] = field(default_factory=list)
    waiting: threading.Event = field(default_factory=threading.Event)
    """Set when a machine that is held asks for an object of the landing zone."""
    _held: str = ""
    _free: threading.Event = field(default_factory=threading.Event)
    _app: Any = None

    def hold(self, who: str) -> None:
        """Let this machine wait for objects of the landing zone from now on."""
        self._free.clear()
        self.waiting.clear()
        self._held = who

    def release(self) -> None:
        """Nobody waits any more."""
        self._held = ""
        self._free.set()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        found = re.search(r"\bapp/([\w-]+)", environ.get("HTTP_USER_AGENT", ""))
        request = Request(found[1] if found else "", environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_IF_NONE_MATCH", ""))
        self.log.append(request)
        if self._held and request.who.startswith(self._held) and is_read(request):
            self.waiting.set()
            self._free.wait(_SECONDS)
        return self._app(environ, start_response)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Store]:
        """The store with the buckets of the landing zone and the lake."""
        store = cls(_app=DomainDispatcherApplication(create_backend_app))
        server = make_server("127.0.0.1", 0, store, threaded=True)
        store.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            client = boto3.client("s3", endpoint_url=store.url, region_name="us-east-1", **KEYS)
            for bucket in ("salesmart", LAKE_BUCKET):
                client.create_bucket(Bucket=bucket)
            yield store
        finally:
            store.release()
            server.shutdown()
            thread.join()


def is_read(request: Request) -> bool:
    """Whether bytes of a sales object are asked for."""
    return request.method == "GET" and "/landing/sales/" in request.path


@dataclass
class Cluster:
    """A running cluster. `workers` are the processes of its machines, by the names under which they are in the store's log."""

    url: str
    workers: dict[str, subprocess.Popen[bytes]]
    ui_port: int

    def wait_until_idle(self) -> None:
        """Wait until nothing runs on it any more, nor the executors of a driver that is gone."""
        deadline = time.monotonic() + _SECONDS
        while _told(self.ui_port)["coresused"]:
            assert time.monotonic() < deadline, "executors of a driver that is gone go on"
            time.sleep(0.1)

    def lose(self, name: str) -> int:
        """Let a machine go down, with the executors on it: all die at once, as in a power cut. Returns the id of its process."""
        os.killpg(self.workers[name].pid, signal.SIGKILL)
        self.workers[name].wait()
        return self.workers[name].pid


@contextmanager
def running_cluster(home: Path) -> Iterator[Cluster]:
    """A master and two workers with a core each, gone with this process."""
    master_port, master_ui, *ports = free_ports(6)
    with ExitStack() as stack:
        master = f"spark://127.0.0.1:{master_port}"
        place = ("--host", "127.0.0.1", "--port", str(master_port), "--webui-port", str(master_ui))
        _start(stack, home, "master", "org.apache.spark.deploy.master.Master", *place)
        workers = {}
        for number in (1, 2):
            name = f"worker-{number}"
            port, ui = ports[2 * number - 2 : 2 * number]
            room = ("--cores", "1", "--memory", "1g", "--work-dir", str(home / name))
            place = ("--host", "127.0.0.1", "--port", str(port), "--webui-port", str(ui))
            workers[name] = _start(stack, home, name, "org.apache.spark.deploy.worker.Worker", *room, *place, master)
        deadline = time.monotonic() + _SECONDS
        while _told(master_ui).get("aliveworkers", 0) < len(workers):
            logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in home.glob("*.log"))
            assert time.monotonic() < deadline, f"the cluster does not come up:\n{logs}"
            time.sleep(0.2)
        yield Cluster(master, workers, master_ui)


def _start(stack: ExitStack, home: Path, name: str, *command: str) -> subprocess.Popen[bytes]:
    spark = Path(pyspark.__file__).parent
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "SALESMART_", "AWS_"))},
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        **small_spark.JVM,
        _WHO: name,
    }
    home.mkdir(exist_ok=True)
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            dying_with_parent([str(spark / "bin" / "spark-class"), *command]),
            env=environment,
            cwd=home,
            stdout=log,
            stderr=log,
            # A group of its own, so that its executors die with it.
            start_new_session=True,
        )
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _told(port: int) -> dict[str, Any]:
    """What the master tells of itself; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/", timeout=5) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except OSError:
        return {}


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    """The store."""
    with Store.running() as running:
        yield running


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster."""
    assert list(JARS.glob("*.jar")), "`make test` fetches the jars by which Spark reads S3; `make jars` does that alone."
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@dataclass
class Driver:
    """Runs that are started on this machine and computed by the cluster; `home` is that of the installation.

    `lake` is the name of its lake; `server` a Spark Connect server by which the cluster is reached, if any.
    """

    home: Path
    store: Store
    cluster: Cluster
    lake: str = "retail"
    server: str | None = None

    @property
    def overrides(self) -> dict[str, str]:
        """The settings that differ from those of a laptop, by their short names."""
        return {
            **({"spark": self.server} if self.server else {"spark": self.cluster.url, "spark_jars": str(JARS)}),
            "lake": f"s3://{LAKE_BUCKET}/{self.lake}",
            "s3_endpoint_url": self.store.url,
            "s3_access_key_id": KEYS["aws_access_key_id"],
            "s3_secret_access_key": KEYS["aws_secret_access_key"],
        }

    def start(self, day: str, *more_arguments: str) -> subprocess.Popen[str]:
        """Start the run of a batch, in a process of its own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SALESMART_", "DAGSTER_", "SPARK_", "AWS_"))}
        settings = {f"SALESMART_{name.upper()}": value for name, value in self.overrides.items()}
        more = {
            **small_spark.configured(self.home.parent, PARTITIONS),
            "SALESMART_HOME": str(self.home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            _WHO: "driver",
        }
        return subprocess.Popen(
            dying_with_parent([sys.executable, "-m", "salesmart_assets_tests.batches", day, *more_arguments]),
            env={**kept, **settings, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
