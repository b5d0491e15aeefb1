"""The platform as a service on one machine: Dagster's UI and daemon, the local S3 endpoint, the sensor on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from importlib import resources
from types import FrameType

from salesmart_assets import terminal
from salesmart_assets.local.endpoint import LocalEndpoint
from salesmart_assets.runs import prepare_home
from salesmart_assets.settings import PREFIX, Settings

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 20


def serve(settings: Settings, *, read_only: bool = False) -> int:
    """Run until interrupted; returns the exit code. One fixed local endpoint serves all of Dagster's processes.

    A UI that is `read_only` starts no runs, so it needs no landing zone: it can be served beside one that does.
    """
    prepare_home(settings)
    environment = dict(os.environ)
    environment[f"{PREFIX}HOME"] = str(settings.root)
    environment.setdefault("RUST_LOG", "error")
    with ExitStack() as stack:
        if settings.uses_local_s3 and not read_only:
            endpoint = stack.enter_context(LocalEndpoint.start(settings, port=settings.s3_port))
            environment[f"{PREFIX}S3_LOCAL_URL"] = endpoint.url
            terminal.err.print(f"Landing zone  {settings.landing} at {endpoint.url}")
        terminal.err.print(f"UI            http://{_HOST}:{settings.port}")
        if read_only:
            terminal.err.print("Read only:    everything can be looked at, and nothing is changed or loaded from here")
        else:
            terminal.err.print("Put a file:   salesmart land FILE --source sales   (the sensor looks every 15 s)")
        module = "dagster_webserver" if read_only else "dagster"
        # Dagster warns of the command that starts all of it in favour of another tool, which the platform does not need.
        quiet = ["-W", "ignore:Function `dev_command` is superseded"]
        command = [sys.executable, *quiet, "-m", module, *(["--read-only"] if read_only else ["dev"])]
        workspace = stack.enter_context(resources.as_file(resources.files("salesmart_assets.local") / "workspace.yaml"))
        command += ["-w", str(workspace), "-h", _HOST, "-p", str(settings.port)]
        child = subprocess.Popen(command, env=environment)
        asked: list[int] = []

        def stop(number: int, _: FrameType | None) -> None:
            asked.append(number)
            child.send_signal(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        code = child.wait()
    # Dagster ends with 1 when it is told to stop.
    return 0 if asked else code
