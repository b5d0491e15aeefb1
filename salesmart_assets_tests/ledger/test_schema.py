"""The ledger's tables are created and migrated by the program."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy as sa

from salesmart_assets.errors import Permanent
from salesmart_assets.ledger.schema import VERSION, create, ingest_file, ledger_version, location_fault
from salesmart_assets.publish.database import open_database

_CREATE = """
import sys
from salesmart_assets.ledger.schema import create
from salesmart_assets.publish.database import open_database
engine = open_database(sys.argv[1])
print("ready", file=sys.stderr, flush=True)
sys.stdin.readline()
create(engine)
"""


def test_a_ledger_of_the_layout_before_gains_what_is_new(database_url: str) -> None:
    """A ledger of an older salesmart gets the new columns and their indexes, and keeps its rows."""
    engine = open_database(database_url)
    create(engine)
    added = ("replay_of", "control_sums")
    location_fault.drop(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX ix_ingest_file_replay_of" + (" ON ingest_file" if engine.dialect.name != "sqlite" else "")))
        for name in added:
            connection.execute(sa.text(f"ALTER TABLE ingest_file DROP COLUMN {name}"))
        connection.execute(sa.update(ledger_version).values(version=VERSION - 1))
    for _ in range(2):
        create(engine)
        inspector = sa.inspect(engine)
        assert {c["name"] for c in inspector.get_columns("ingest_file")} == {c.name for c in ingest_file.columns}
        assert inspector.has_table("location_fault")
        assert {i["name"] for i in inspector.get_indexes("ingest_file")} >= {"ix_ingest_file_replay_of"}
        with engine.connect() as connection:
            assert connection.scalars(sa.select(ledger_version.c.version)).all() == [VERSION]
    engine.dispose()


def test_several_processes_create_it_at_once(database_url: str) -> None:
    """A new ledger may be created by several processes at the same moment."""
    command = [sys.executable, "-c", _CREATE, database_url]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True) for _ in range(4)]
    for child in children:
        assert child.stderr is not None
        assert child.stderr.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, said = child.communicate(timeout=60)
        assert child.returncode == 0, said


def test_a_ledger_of_a_newer_salesmart_is_refused(database_url: str) -> None:
    """A ledger that a newer salesmart has written is left alone, with one sentence."""
    engine = open_database(database_url)
    create(engine)
    with engine.begin() as connection:
        connection.execute(sa.update(ledger_version).values(version=VERSION + 1))
    with pytest.raises(Permanent, match="upgrade salesmart"):
        create(engine)
    engine.dispose()
