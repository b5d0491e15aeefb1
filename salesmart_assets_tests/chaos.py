"""`salesmart dev` as something to be disturbed: its processes found by what they are, and killed.

Belongs here: starting, finding and killing. Does not belong here: what must hold afterwards.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from types import TracebackType

from salesmart_assets_tests.conftest import free_port
from salesmart_assets_tests.end_to_end.conftest import Installation

PARTS = {
    "web server": "dagster_webserver",
    "daemon": "dagster._daemon",
    "code server": "dagster api grpc",
    "S3": "serve s3",
    "run": "--multiprocessing-fork",
}
"""The processes of `dev` by what they are, each with what its command line contains."""
START_SECONDS = 120


class Served:
    """`salesmart dev` over an installation, on ports of its own, which it keeps when it is started again."""

    def __init__(self, salesmart: Installation, *options: str) -> None:
        self.salesmart = salesmart
        self._options = options
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._environment = {**salesmart.environment, "SALESMART_PORT": str(self.port), "SALESMART_S3_PORT": str(free_port())}
        self._log = salesmart.home / f"dev{''.join(options)}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until the UI answers."""
        self.salesmart.home.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "salesmart_assets.cli", "dev", *self._options]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.5)

    def answers(self) -> bool:
        """Whether the UI answers."""
        try:
            with urllib.request.urlopen(f"{self.address}/server_info", timeout=2):
                return True
        except OSError:
            return False

    def log(self) -> str:
        """What it printed so far."""
        return self._log.read_text("utf-8", errors="replace")

    def find(self, part: str) -> int | None:
        """The process of a part, if it runs."""
        assert self._process is not None
        for pid, arguments in _descendants(self._process.pid):
            # A shell that watches over a process shows that one's command line.
            if PARTS[part] in arguments and not arguments.startswith("/bin/sh"):
                return pid
        return None

    def kill(self, part: str) -> bool:
        """Kill the process of a part; False if there is none."""
        pid = self.find(part)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def kill_all(self) -> None:
        """Kill `dev` itself; what it started ends with it, in its own time."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Stop it as Ctrl-C does; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise

    def __enter__(self) -> Served:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()


def start(salesmart: Installation, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command of the installation, to be killed."""
    command = [sys.executable, "-m", "salesmart_assets.cli", *arguments]
    return subprocess.Popen(command, env=salesmart.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_after(salesmart: Installation, seconds: float, *arguments: str) -> bool:
    """Start a command and kill it after so many seconds; False if it had ended before."""
    process = start(salesmart, *arguments)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def _descendants(root: int) -> list[tuple[int, str]]:
    """The processes below one, with their command lines."""
    shown = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in shown.splitlines()]
    children: dict[int, list[tuple[int, str]]] = {}
    for pid, parent, *arguments in rows:
        children.setdefault(int(parent), []).append((int(pid), arguments[0] if arguments else ""))
    found, wanted = [], [root]
    while wanted:
        below = children.get(wanted.pop(), [])
        found += below
        wanted += [pid for pid, _ in below]
    return found
