"""One writer: the lease is exclusive, freed at once by a killed process, and fenced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from salesmart_assets.errors import LeaseLost, Retryable
from salesmart_assets.ledger import Ledger
from salesmart_assets.ledger.schema import lease as lease_table
from salesmart_assets.publish.database import open_database

HOLD = """
import sys, time
from salesmart_assets.ledger import Ledger
from salesmart_assets.publish.database import open_database
ledger = Ledger(open_database(sys.argv[1]))
with ledger.writer.hold():
    print("held", flush=True)
    time.sleep(60)
"""


def opened(url: str, seconds: float = 60) -> Ledger:
    ledger = Ledger(open_database(url), seconds)
    ledger.create()
    return ledger


def test_a_killed_writer_frees_the_lease_at_once(database_url: str) -> None:
    """After a SIGKILL of the holder the next writer of the host starts without waiting for a time-out."""
    ledger = opened(database_url)
    child = subprocess.Popen([sys.executable, "-c", HOLD, database_url], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "held"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    started = time.monotonic()
    with ledger.writer.hold() as lease:
        lease.verify()
    assert time.monotonic() - started < 10
    ledger.engine.dispose()


def test_one_holder_at_a_time(database_url: str) -> None:
    """While one process writes, another one waits, and gives up by name when told not to wait long."""
    ledger = opened(database_url)
    child = subprocess.Popen([sys.executable, "-c", HOLD, database_url], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline().strip() == "held"
        with pytest.raises(Retryable, match="has been writing"), ledger.writer.hold(wait_seconds=0.3):
            pass
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    ledger.engine.dispose()


def test_two_threads_take_turns(tmp_path: Path) -> None:
    """Two holders in one process never overlap."""
    ledger = opened(f"sqlite:///{tmp_path / 'ledger.db'}")
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        with ledger.writer.hold():
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    ledger.engine.dispose()


def test_a_lease_that_was_taken_over_commits_no_more(database_url: str) -> None:
    """The fence grows with each holder; who finds another one in the row must stop."""
    ledger = opened(database_url)
    with ledger.writer.hold() as first:
        first.verify()
        with ledger.engine.begin() as connection:
            connection.execute(sa.update(lease_table).values(holder="someone-else", fence=first.fence + 1))
        with pytest.raises(LeaseLost):
            first.verify()
    ledger.engine.dispose()


def test_a_silent_holder_on_another_host_is_taken_over(database_url: str) -> None:
    """A holder elsewhere whose beat stands still for the lease's time counts as dead; a beating one does not."""
    ledger = opened(database_url, 0.6)
    with ledger.engine.begin() as connection:
        connection.execute(sa.insert(lease_table).values(name="writer", holder="far", place="another host", fence=7, beat=3))
    started = time.monotonic()
    with ledger.writer.hold() as lease:
        assert lease.fence == 8
    assert time.monotonic() - started >= 0.6
    ledger.engine.dispose()


def test_holding_twice_in_one_thread_is_holding_once(tmp_path: Path) -> None:
    """The lease is re-entrant: a step that calls another does not wait for itself."""
    ledger = opened(f"sqlite:///{tmp_path / 'ledger.db'}")
    with ledger.writer.hold() as outer, ledger.writer.hold() as inner:
        assert inner is outer
    ledger.engine.dispose()
