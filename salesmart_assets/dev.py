"""The platform as a service on one machine: Dagster's UI and daemon, the local S3 endpoint, the sensor on.

Each is a process of its own, and one that ends unasked is started again; all of them end with this one, however it ends.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event

import yaml

from salesmart_assets import terminal
from salesmart_assets.errors import SalesmartError, UsageError
from salesmart_assets.local.endpoint import LocalEndpoint
from salesmart_assets.local.tied import let_go, start_tied
from salesmart_assets.runs import prepare_home
from salesmart_assets.settings import PREFIX, Settings

_HOST = "127.0.0.1"
_LOOK_SECONDS = 0.5
_CODE_SECONDS = 180
_STOP_SECONDS = 20
_PORT_SECONDS = 10
_SHORT_LIFE_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 30.0
_MOST_FAILURES = 5


class _CannotRun(SalesmartError):
    """A process that ends by itself again and again."""


class _Service:
    """A process that is started again when it ends unasked: at once, and after growing pauses where it does not live long."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Take note of what is to be run; `start` runs it."""
        self.name = name
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._due = 0.0
        self._short_lives = self._failures = 0
        self._proved = False

    def start(self) -> None:
        """Start it."""
        self._process = start_tied(self._command, self._environment)
        self._started = time.monotonic()

    def look(self) -> None:
        """Start it again if it has ended and its pause is over. Raises `_CannotRun` when that has failed too often."""
        if self._process is None:
            if time.monotonic() >= self._due:
                self.start()
            return
        code = self._process.poll()
        if code is None:
            return
        let_go(self._process)
        self._process = None
        short = time.monotonic() - self._started < _SHORT_LIFE_SECONDS
        self._short_lives = self._short_lives + 1 if short else 0
        # What ends by itself, soon after each start, can't run. What ran well before, or was killed, is not at fault: it is
        # started for as long as it takes, such as until the database of Dagster's history answers again.
        self._proved = self._proved or not short
        self._failures = self._failures + 1 if code >= 0 and not self._proved else 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if self._failures >= _MOST_FAILURES:
            raise _CannotRun(f"The {self.name} {how}, {self._failures} times in a row. What it said stands above.")
        pause = min(2.0 ** (self._short_lives - 1), _LONGEST_PAUSE_SECONDS) if self._short_lives > 1 else 0.0
        self._due = time.monotonic() + pause
        terminal.err.print(f"The {self.name} {how}; it is started again{f' in {pause:.0f} s' if pause else ''}.", style="yellow")

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within so many seconds."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            return False
        return True


class _Endpoint:
    """The local S3 endpoint on its fixed port, started again when it ends unasked."""

    def __init__(self, settings: Settings) -> None:
        """Start it. Raises `Unreachable` if that can't be done."""
        self._settings = settings
        self._endpoint = self._started()
        self.url = self._endpoint.url

    def _started(self) -> LocalEndpoint:
        return LocalEndpoint.start(self._settings, port=self._settings.s3_port)

    def look(self) -> None:
        """Start it again if it has ended; where that fails, the next look tries again."""
        if self._endpoint.running:
            return
        terminal.err.print("The local S3 endpoint has ended; it is started again.", style="yellow")
        self._endpoint.stop()
        try:
            self._endpoint = self._started()
        except SalesmartError as error:
            terminal.err.print(str(error), style="red")

    def stop(self) -> None:
        """Stop it; the objects stay."""
        self._endpoint.stop()


def serve(settings: Settings, *, read_only: bool = False) -> int:
    """Run until interrupted; returns the exit code. One fixed local endpoint serves all of Dagster's processes.

    A UI that is `read_only` starts no runs, so it needs no landing zone: it can be served beside one that does.
    """
    prepare_home(settings)
    environment = dict(os.environ)
    environment[f"{PREFIX}HOME"] = str(settings.root)
    environment.setdefault("RUST_LOG", "error")
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    _await_port(settings.port, "PORT")
    with ExitStack() as stack:
        endpoint = None
        if settings.uses_local_s3 and not read_only:
            _await_port(settings.s3_port, "S3_PORT")
            endpoint = _Endpoint(settings)
            stack.callback(endpoint.stop)
            environment[f"{PREFIX}S3_LOCAL_URL"] = endpoint.url
            terminal.err.print(f"Landing zone  {settings.landing} at {endpoint.url}")
        terminal.err.print(f"UI            http://{_HOST}:{settings.port}")
        if read_only:
            terminal.err.print("Read only:    everything can be looked at, and nothing is changed or loaded from here")
        else:
            terminal.err.print("Put a file:   salesmart land FILE --source sales   (the sensor looks every 15 s)")
        # A socket's path may have 107 characters at most, which those of a home can exceed.
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="salesmart-")))
        try:
            with _running(_services(settings, environment, scratch, read_only=read_only), scratch / "code", stop) as services:
                while not stop.wait(_LOOK_SECONDS):
                    for service in services:
                        service.look()
                    if endpoint is not None:
                        endpoint.look()
        except _CannotRun as error:
            terminal.err.print(str(error), style="red")
            return 1
    return 0


def _services(settings: Settings, environment: Mapping[str, str], scratch: Path, *, read_only: bool) -> list[_Service]:
    """Dagster's processes: the code server first, which the others ask."""
    workspace = scratch / "workspace.yaml"
    place = {"socket": str(scratch / "code"), "location_name": "salesmart"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": place}]}), "utf-8")
    python = [sys.executable, "-m"]
    # Not `dagster code-server start`: that starts this one in turn, and does not notice when it is gone.
    code = [*python, "dagster", "api", "grpc", "-s", place["socket"], "-m", "salesmart_assets.definitions"]
    code += ["--location-name", place["location_name"], "--log-level", "warning"]
    ui = [*python, "dagster_webserver", "-w", str(workspace), "-h", _HOST, "-p", str(settings.port)]
    commands = {"code server": code, "web server": [*ui, *(["--read-only"] if read_only else [])]}
    if not read_only:
        commands["daemon"] = [*python, "dagster._daemon", "run", "-w", str(workspace)]
    return [_Service(name, command, environment) for name, command in commands.items()]


@contextmanager
def _running(services: Sequence[_Service], code_socket: Path, stop: Event) -> Iterator[Sequence[_Service]]:
    """The services, the first of which answers on its socket before the others start; afterwards all are stopped, the last first."""
    try:
        services[0].start()
        deadline = time.monotonic() + _CODE_SECONDS
        while not (code_socket.exists() or time.monotonic() > deadline or stop.wait(0.05)):
            services[0].look()
        for service in services[1:]:
            service.start()
        yield services
    finally:
        deadline = time.monotonic() + _STOP_SECONDS
        for service in reversed(services):
            service.tell(signal.SIGINT)
        for service in services:
            service.wait(deadline - time.monotonic())
            # Whatever is left of it, such as a run that does not listen: the next start repairs it.
            service.tell(signal.SIGKILL)


def _await_port(port: int, variable: str) -> None:
    """Wait until a port is free: processes of a `dev` that was killed need seconds to end. Raises `UsageError` if it stays taken."""
    deadline = time.monotonic() + _PORT_SECONDS
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise UsageError(
                        f"Port {port} on {_HOST} can't be used ({error.strerror}): set {PREFIX}{variable} to a free port."
                    ) from None
        time.sleep(0.2)
