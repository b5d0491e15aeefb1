"""The platform as a service: what lands while `salesmart dev` runs reaches the marts by the sensor alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation

_START_SECONDS = 120
_LOAD_SECONDS = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def served(salesmart: Installation) -> Iterator[str]:
    """`salesmart dev` in a process group of its own; yields the UI's address once it answers."""
    port = free_port()
    environment = {**salesmart.environment, "SALESMART_PORT": str(port), "SALESMART_S3_PORT": str(free_port())}
    salesmart.home.mkdir(parents=True, exist_ok=True)
    with (salesmart.home / "dev.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "salesmart_assets.cli", "dev"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + _START_SECONDS
            while True:
                try:
                    with urllib.request.urlopen(f"{address}/server_info", timeout=2):
                        break
                except OSError:
                    assert server.poll() is None, (salesmart.home / "dev.log").read_text()
                    assert time.monotonic() < deadline, (salesmart.home / "dev.log").read_text()
                    time.sleep(0.5)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGINT)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


@pytest.mark.xdist_group("dev")
def test_a_dropped_file_reaches_the_marts_by_the_sensor_alone(salesmart: Installation) -> None:
    """A file put into the landing zone while `dev` runs is in the marts without anybody asking for a run."""
    path = salesmart.write("tills.csv", f"{HEADER}\n1,121,bread,2026-08-01,1,2.50,2,5.00\n")
    with served(salesmart):
        salesmart("land", path, "--source", "sales", "--date", "2026-08-01")
        deadline = time.monotonic() + _LOAD_SECONDS
        while [f["status"] for f in salesmart.json("status", "--json")] != ["I"]:
            assert time.monotonic() < deadline, (salesmart.home / "dev.log").read_text()[-5000:]
            time.sleep(1)
    (row,) = salesmart.tables()["database/sales_team_mart"]
    assert (str(row["total_sales"]), str(row["incentive"])) == ("5.00", "0.05")
