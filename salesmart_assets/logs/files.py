"""The log on disk: JSON lines, one file for each level, shared by all processes of a home.

A line is appended with one call of the system, which keeps lines of several processes apart without a lock. A file that
is full is given another name, under a lock, by whoever finds it full; who still had it open writes there, and looks before
the next line. So no line is lost or torn when files are turned over, and no process ever waits for another one's line.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from salesmart_assets.logs.context import current
from salesmart_assets.logs.events import event_of

LEVELS = ("info", "warning", "error")
"""From the least to the most severe; each is a file of its own."""
COLUMNS = ("time", "level", "run_id", "batch_date", "step", "event", "message", "seconds", "rows", "bytes", "logger", "host", "pid")
"""What a line has, in this order. `time` is in UTC, `seconds` is a duration."""
FILES_KEPT = 10
"""Files of each level: the one that is written to, and those before it."""

_LOG = logging.getLogger("salesmart_assets")
_HOST = socket.gethostname()
_TURN_SECONDS = 1.0


def levels_from(level: str) -> tuple[str, ...]:
    """A level and those that are more severe.

    >>> levels_from("warning")
    ('warning', 'error')
    """
    return LEVELS[LEVELS.index(level) :]


def keep(folder: Path, megabytes: int) -> None:
    """Keep what this process logs from now on in a folder, in at most so many megabytes for each level.

    A process has one such folder: another one takes its place. Nothing is made before there is a line to write.
    """
    most = megabytes * 1_000_000 // FILES_KEPT
    for handler in [h for h in _LOG.handlers if isinstance(h, LevelFiles)]:
        if (handler.folder, handler.most_bytes) == (folder, most):
            return
        _LOG.removeHandler(handler)
        handler.close()
    _LOG.addHandler(LevelFiles(folder, most))
    _LOG.setLevel(logging.INFO)


class LevelFiles(logging.Handler):
    """Writes each record as a line to the file of its level. `most_bytes`: of one file, before it is turned over."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        super().__init__(logging.INFO)
        self.folder = folder
        self.most_bytes = most_bytes
        self._files = {level: SharedFile(folder / f"{level}.jsonl", most_bytes) for level in LEVELS}
        self._failed = False

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= logging.WARNING else "info"
        try:
            self._files[level].append(_line(record, level))
        except OSError as error:
            # A full disk or a folder that can't be written must not stop a batch that needs neither; it is told once.
            if not self._failed:
                sys.stderr.write(
                    f"The log in {self.folder} cannot be written ({error.strerror or error}); what happens is not kept there.\n"
                )
            self._failed = True
        except Exception:  # noqa: BLE001 (as every handler: what can't be logged is told on standard error, and the work goes on)
            self.handleError(record)
        else:
            self._failed = False

    def close(self) -> None:
        self.acquire()
        try:
            for file in self._files.values():
                file.close()
        finally:
            self.release()
        super().close()


class SharedFile:
    """A file that several processes append to. One thread of a process at a time, as `logging` calls its handlers."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._path = path
        self._most = most_bytes
        self._open: int | None = None

    def append(self, line: bytes) -> None:
        """Append a line, with its end; turn the file over before, if it is full."""
        size = os.fstat(self._descriptor()).st_size
        if size and size + len(line) > self._most:
            self._turn_over(len(line))
        written = os.write(self._descriptor(), line)
        if written < len(line):
            raise OSError(f"{written} of {len(line)} bytes were written")

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def _descriptor(self) -> int:
        """The file that now has the name, open to append to it."""
        if self._open is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(self._path.stat(), os.fstat(self._open)):
                    return self._open
            self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._open = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        return self._open

    def _turn_over(self, more: int) -> None:
        try:
            with FileLock(self._path.with_suffix(".lock"), timeout=_TURN_SECONDS):
                # Another process may have done it since.
                if self._path.stat().st_size + more > self._most:
                    now = datetime.now(timezone.utc)
                    self._path.rename(self._path.with_name(f"{self._path.stem}-{now:%Y%m%dT%H%M%S%f}.jsonl"))
                for old in turned_over(self._path)[: -(FILES_KEPT - 1)]:
                    old.unlink(missing_ok=True)
        except (Timeout, FileNotFoundError):
            # Somebody else is at it: this line still fits, and the next one looks again.
            return


def turned_over(path: Path) -> list[Path]:
    """The files that had this name before, oldest first."""
    return sorted(path.parent.glob(f"{path.stem}-*.jsonl"))


def _line(record: logging.LogRecord, level: str) -> bytes:
    event, here = event_of(record), current()
    # Dagster puts its own prefix before the message of a record that it has taken; what was said is kept beside it.
    taken = getattr(record, "dagster_meta", None)
    values = {
        "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": level,
        "run_id": here.run_id or None,
        "batch_date": here.batch_date or None,
        "step": here.step or None,
        "event": event.name or None,
        "message": taken["orig_message"] if taken else record.getMessage(),
        "seconds": event.seconds,
        "rows": event.rows,
        "bytes": event.bytes,
        "logger": record.name,
        "host": _HOST,
        "pid": record.process,
    }
    # A sign that is none, as in the name of a file in another encoding, could be read back and never be printed.
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
