"""`salesmart dev` as a process of its own, for tests and pictures."""

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

from salesmart_assets_tests.end_to_end.conftest import Installation

_START_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def served(salesmart: Installation, *options: str) -> Iterator[str]:
    """`salesmart dev` in a process group of its own; yields the UI's address once it answers."""
    port = free_port()
    environment = {**salesmart.environment, "SALESMART_PORT": str(port), "SALESMART_S3_PORT": str(free_port())}
    salesmart.home.mkdir(parents=True, exist_ok=True)
    log_file = salesmart.home / f"dev{''.join(options)}.log"
    with log_file.open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "salesmart_assets.cli", "dev", *options], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + _START_SECONDS
            while True:
                try:
                    with urllib.request.urlopen(f"{address}/server_info", timeout=2):
                        break
                except OSError:
                    assert server.poll() is None, log_file.read_text()
                    assert time.monotonic() < deadline, log_file.read_text()
                    time.sleep(0.5)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGINT)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
