"""Child processes that end with the process that started them, however that one ends (SIGKILL included)."""

from __future__ import annotations

import os
import subprocess
import weakref
from collections.abc import Mapping, Sequence
from typing import IO

# The shell becomes the program; what stays beside it waits on a pipe whose other end only the starting process holds. The pipe
# closes when that process ends, and the program is told to stop, and made to if it does not.
_DIE_WITH_PARENT = """
exec 3<&0
( cat <&3 >/dev/null; kill $$; for _ in 1 2 3; do sleep 1; kill -0 $$ || exit 0; done; kill -9 $$ ) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"""
_STARTED_HERE: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


def start_tied(
    command: Sequence[str], environment: Mapping[str, str] | None = None, output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own; what it prints goes to `output`, or where this process prints.

    Ctrl-C in a terminal reaches the starting process only, which decides what is stopped, and in which order.
    """
    process = subprocess.Popen(
        ["/bin/sh", "-c", _DIE_WITH_PARENT, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        env=environment,
        start_new_session=True,
    )
    _STARTED_HERE.add(process)
    return process


def let_go(process: subprocess.Popen[bytes]) -> None:
    """Tell a program to stop, and have it made to, as if the starting process had ended."""
    if process.stdin is not None:
        process.stdin.close()


def _let_go_in_fork() -> None:
    # A fork gets a copy of the pipe's end: kept, it would hold the program up after the starting process is gone.
    for process in list(_STARTED_HERE):
        let_go(process)
        process.returncode = 0  # no child of the fork's: nothing to wait for


os.register_at_fork(after_in_child=_let_go_in_fork)
