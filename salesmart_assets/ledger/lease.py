"""One writer downstream of staging: a lease in the database, backed on each host by a lock of the operating system.

The operating system frees its lock the moment a process dies, so on one host the next writer starts at once. On another
host nobody can see that; there a holder counts as dead when its beat has not changed for `lease_seconds` on the waiter's
own monotonic clock, so that clocks need not agree. The fence grows with each holder: who finds another fence in the row
has lost the lease and must not commit.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout

from salesmart_assets.errors import LeaseLost, Retryable
from salesmart_assets.ledger.schema import lease as lease_table

NAME = "writer"
_POLL_SECONDS = 0.2


@dataclass(slots=True)
class Lease:
    """The right to commit downstream of staging, for as long as `verify` does not raise."""

    engine: sa.Engine
    holder: str
    fence: int
    _lost: threading.Event = field(default_factory=threading.Event)

    def verify(self) -> None:
        """Raise `LeaseLost` if another writer has taken over; called right before each commit."""
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(lease_table.c.holder, lease_table.c.fence).where(lease_table.c.name == NAME)).one_or_none()
        if self._lost.is_set() or row is None or (row.holder, row.fence) != (self.holder, self.fence):
            raise LeaseLost(
                "Another process took over as writer (this one was silent for too long). Nothing more was committed; run again."
            )

    def beat(self) -> None:
        """Tell the others that this holder lives."""
        with self.engine.begin() as connection:
            result = connection.execute(
                sa.update(lease_table)
                .where(lease_table.c.name == NAME, lease_table.c.holder == self.holder, lease_table.c.fence == self.fence)
                .values(beat=lease_table.c.beat + 1)
            )
            if result.rowcount != 1:
                self._lost.set()


class WriterLease:
    """Takes and gives back the writer's lease of one ledger. Re-entrant within a thread."""

    def __init__(self, engine: sa.Engine, lease_seconds: float) -> None:
        self._engine = engine
        self._seconds = lease_seconds
        self._path = _lock_path(engine.url)
        self._held: Lease | None = None
        self._depth = 0
        self._mutex = threading.RLock()

    @property
    def place(self) -> str:
        """This host and lock: two holders with the same place can't both be alive."""
        stat = self._path.parent.stat()
        text = f"{socket.gethostname()}|{_boot_id()}|{stat.st_dev}|{stat.st_ino}|{self._path.name}"
        return hashlib.sha256(text.encode()).hexdigest()

    @contextmanager
    def hold(self, *, wait_seconds: float = 3600, waiting: Callable[[str], None] = lambda _: None) -> Iterator[Lease]:
        """Hold the lease; waits for another living writer up to `wait_seconds`, then raises `Retryable`."""
        with self._mutex:
            if self._held is not None:
                self._depth += 1
                try:
                    yield self._held
                finally:
                    self._depth -= 1
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._path)
            deadline = time.monotonic() + wait_seconds
            told = False
            while True:
                try:
                    lock.acquire(timeout=min(1.0, wait_seconds))
                    break
                except Timeout:
                    if time.monotonic() >= deadline:
                        raise Retryable(
                            f"Another process of this host has been writing for {wait_seconds:.0f} s: run again later."
                        ) from None
                    if not told:
                        waiting("Another process is writing; waiting for it.")
                        told = True
            try:
                held = self._take(deadline, waiting)
                stop = threading.Event()
                beating = threading.Thread(target=_keep_beating, args=(held, stop, self._seconds / 4), daemon=True, name="lease-beat")
                beating.start()
                self._held = held
                try:
                    yield held
                finally:
                    self._held = None
                    stop.set()
                    beating.join()
                    self._give_back(held)
            finally:
                lock.release()

    def _take(self, deadline: float, waiting: Callable[[str], None]) -> Lease:
        holder, place = str(uuid.uuid4()), self.place
        seen: tuple[object, ...] | None = None
        since = time.monotonic()
        while True:
            with self._engine.begin() as connection:
                row = connection.execute(sa.select(lease_table).where(lease_table.c.name == NAME)).one_or_none()
                if row is None:
                    try:
                        connection.execute(sa.insert(lease_table).values(name=NAME, holder=holder, place=place, fence=1, beat=0))
                    except sa.exc.IntegrityError:
                        connection.rollback()
                        continue
                    return Lease(self._engine, holder, 1)
                mark = (row.holder, row.fence, row.beat)
                dead = mark == seen and time.monotonic() - since > self._seconds
                if row.holder is None or row.place == place or dead:
                    result = connection.execute(
                        sa.update(lease_table)
                        .where(lease_table.c.name == NAME, lease_table.c.fence == row.fence, lease_table.c.beat == row.beat)
                        .values(holder=holder, place=place, fence=row.fence + 1, beat=0)
                    )
                    if result.rowcount == 1:
                        return Lease(self._engine, holder, row.fence + 1)
                    continue
            if mark != seen:
                if seen is None:
                    waiting("A process on another host is writing; waiting for it.")
                seen, since = mark, time.monotonic()
            if time.monotonic() >= deadline:
                raise Retryable("A process on another host is still writing: run again later.")
            time.sleep(_POLL_SECONDS)

    def _give_back(self, held: Lease) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(lease_table)
                .where(lease_table.c.name == NAME, lease_table.c.holder == held.holder)
                .values(holder=None, place=None)
            )


def _keep_beating(held: Lease, stop: threading.Event, pause: float) -> None:
    while not stop.wait(pause):
        try:
            held.beat()
        except sa.exc.SQLAlchemyError:
            # A missed beat is not yet a lost lease: `verify` asks the database again before each commit.
            continue


def _lock_path(url: sa.URL) -> Path:
    """The lock of a ledger on this host: beside an SQLite file, else in the temporary folder, named after the database."""
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database).absolute().with_suffix(".lock")
    name = hashlib.sha256(f"{url.host}|{url.port}|{url.database}".encode()).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"salesmart-{os.getuid()}" / f"{name}.lock"


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""
