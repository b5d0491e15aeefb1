"""The processes that carry out runs: whether one still lives, and the launcher that Dagster asks.

Belongs here: telling a living process from one that is gone. Does not belong here: what a run does.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from dagster import DagsterEvent, DagsterEventType, DagsterRun, DefaultRunLauncher
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

PROCESS_TAG = ".dagster/salesmart_process"
"""The process of a run that a terminal started; a name that the UI does not show, because it says nothing to people."""
HOST_TAG = ".dagster/salesmart_host"
"""The machine on which a run was launched."""
_CLOCK_SECONDS = 2.0


class LocalRunLauncher(DefaultRunLauncher):
    """Dagster's launcher of one machine, which can also tell that the process of a run is gone.

    Dagster's own rests on the code server, which sees its children end. Where that has ended as well (it was killed, the machine
    was restarted), and for runs that a terminal started, a run would stay in progress for ever, and hold its place in the queue.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def launch_run(self, context: LaunchRunContext) -> None:
        self._instance.add_run_tags(context.dagster_run.run_id, {HOST_TAG: socket.gethostname()})
        super().launch_run(context)

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        mark = run.tags.get(PROCESS_TAG)
        lives = alive(mark) if mark else (not _seen_from_here(run) or self._worker_lives(run))
        return CheckRunHealthResult(WorkerStatus.RUNNING if lives else WorkerStatus.NOT_FOUND, "" if lives else "its process is gone")

    def _worker_lives(self, run: DagsterRun) -> bool:
        """Whether the process that said last that it carries out the run is there; True while none has said so yet."""
        for entry in reversed(self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)):
            pid = _pid_in(entry.dagster_event)
            if pid is not None:
                began = _began(pid)
                # A process that began later than this was said only has the same number.
                return began is not None and began <= entry.timestamp + _CLOCK_SECONDS
        return True


def _seen_from_here(run: DagsterRun) -> bool:
    """Whether the run's process is one of this machine's: launched here, through a socket that no other machine has."""
    return run.tags.get(HOST_TAG) == socket.gethostname() and "socket" in json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))


def _pid_in(event: DagsterEvent | None) -> int | None:
    value = event.engine_event_data.metadata.get("pid") if event is not None else None
    return int(str(value.value)) if value is not None else None


def this_process() -> str:
    """A mark of this process, by which `alive` finds it."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def alive(mark: str) -> bool:
    """Whether the process with that mark still lives; one on another host can't be seen and counts as alive."""
    host, pid, started = mark.split("/")
    return host != socket.gethostname() or (started != "" and _started(int(pid)) == started)


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks: tells a process from a later one with the same number. Empty: it is gone."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return _answers(pid) if not Path("/proc/self/stat").exists() else ""
    # A zombie has ended; only nobody has asked for its exit code.
    return "" if state == "Z" else fields[18]


def _answers(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "alive"
    return "alive"


def _began(pid: int) -> float | None:
    """When a process began, in seconds since 1970; None if it is gone, 0 where the system does not say."""
    started = _started(pid)
    if not started.isdigit():
        return 0.0 if started else None
    up = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up + int(started) / os.sysconf("SC_CLK_TCK")
