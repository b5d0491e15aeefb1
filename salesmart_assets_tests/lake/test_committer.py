"""The committer refuses what delta-rs lets through."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import DeltaError

from salesmart_assets.contracts import build_tables, load_contracts
from salesmart_assets.errors import AuditFailed, CommitConflict, LeaseLost
from salesmart_assets.lake import Commit, Lake, NewFile, Snapshot
from salesmart_assets.ledger import Lease
from salesmart_assets.settings import Settings

NAME = "daily_customer_sales"
DAY = "2026-11-01"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    opened = Lake.open(Settings.load(home=tmp_path), build_tables(load_contracts()))
    opened.create_tables()
    return opened


def written(lake: Lake, day: str, customers: list[int]) -> list[NewFile]:
    folder = lake.fresh()
    target = Path(lake.uri(NAME)) / folder / f"sales_date={day}"
    target.mkdir(parents=True)
    rows = {"customer_id": customers, "total_sales": [Decimal("1.00")] * len(customers), "orders": [1] * len(customers)}
    pq.write_table(pa.table(rows, schema=lake.tables[NAME].file_schema), target / "rows.parquet")
    return lake.written(NAME, folder)


def commit(lake: Lake, base: Snapshot, add: list[NewFile], slices: set[str], lease: Lease | None = None) -> Commit:
    remove = [f for f in base.files if f.value("sales_date") in slices]
    return lake.committer(NAME).commit(base, add, remove, slice_column="sales_date", slices=slices, run_id="test", lease=lease)


def customers(lake: Lake) -> list[int]:
    return sorted(row["customer_id"] for row in lake.snapshot(NAME).read().to_pylist())


def test_a_slice_is_replaced_whole(lake: Lake) -> None:
    """A commit replaces its slice and nothing else."""
    commit(lake, lake.snapshot(NAME), [*written(lake, DAY, [1, 2]), *written(lake, "2026-11-02", [3])], {DAY, "2026-11-02"})
    commit(lake, lake.snapshot(NAME), written(lake, DAY, [9]), {DAY})
    assert customers(lake) == [3, 9]
    assert lake.snapshot(NAME).read().schema == lake.tables[NAME].arrow
    assert lake.snapshot(NAME).read().to_pylist()[0]["sales_date"] in (date(2026, 11, 1), date(2026, 11, 2))


def test_two_writers_into_an_empty_partition_do_not_double_it(lake: Lake) -> None:
    """Of two commits computed from the same version one is refused."""
    base = lake.snapshot(NAME)
    commit(lake, base, written(lake, DAY, [1]), {DAY})
    with pytest.raises(CommitConflict):
        commit(lake, base, written(lake, DAY, [1]), {DAY})
    assert customers(lake) == [1]


def test_a_handle_that_was_opened_late_overwrites_nothing(lake: Lake) -> None:
    """A commit computed from an old version is refused, though its partition is another one."""
    old = lake.snapshot(NAME)
    commit(lake, old, written(lake, DAY, [1]), {DAY})
    with pytest.raises(CommitConflict):
        commit(lake, old, written(lake, "2026-11-02", [2]), {"2026-11-02"})
    assert customers(lake) == [1]


def test_a_file_outside_the_slice_is_refused(lake: Lake) -> None:
    """Every file must lie inside the slices that a commit names."""
    with pytest.raises(AuditFailed, match="outside the slices"):
        commit(lake, lake.snapshot(NAME), written(lake, "2026-11-02", [1]), {DAY})
    assert customers(lake) == []


def test_a_lost_lease_commits_nothing(lake: Lake, tmp_path: Path) -> None:
    """Who has lost the writer's lease can't commit any more."""
    from salesmart_assets.ledger import Ledger
    from salesmart_assets.publish.database import open_database

    ledger = Ledger(open_database(f"sqlite:///{tmp_path / 'ledger.db'}"))
    ledger.create()
    with ledger.writer.hold() as lease:
        stale = Lease(ledger.engine, "somebody", lease.fence - 1)
        with pytest.raises(LeaseLost):
            commit(lake, lake.snapshot(NAME), written(lake, DAY, [1]), {DAY}, stale)
    assert customers(lake) == []
    ledger.engine.dispose()


def test_an_emptied_slice_is_empty(lake: Lake) -> None:
    """A slice that lost all its rows is emptied, not left."""
    commit(lake, lake.snapshot(NAME), written(lake, DAY, [1]), {DAY})
    commit(lake, lake.snapshot(NAME), [], {DAY})
    assert customers(lake) == []


def test_older_versions_can_be_read(lake: Lake) -> None:
    """A reader that pinned a version sees it unchanged, however many commits follow."""
    first = commit(lake, lake.snapshot(NAME), written(lake, DAY, [1]), {DAY})
    for number in range(3):
        commit(lake, lake.snapshot(NAME), written(lake, DAY, [number + 10]), {DAY})
    assert [row["customer_id"] for row in lake.snapshot(NAME, first.version).read().to_pylist()] == [1]


def test_each_look_sees_what_others_committed(lake: Lake, tmp_path: Path) -> None:
    """A lake that has looked at a table before sees another process's commits, and its files as delta-rs tells them anew."""
    another = Lake.open(Settings.load(home=tmp_path), lake.tables)
    seen = []
    for number in range(3):
        base = another.snapshot(NAME)
        assert lake.snapshot(NAME) == base
        commit(lake if number == 1 else another, base, written(lake, DAY, [number]), {DAY})
        assert lake.snapshot(NAME) == Lake.open(Settings.load(home=tmp_path), lake.tables).snapshot(NAME)
        seen.append(customers(lake))
    assert seen == [[0], [1], [2]]
    assert lake.snapshot(NAME, version=1).read()["customer_id"].to_pylist() == [0]
    assert customers(lake) == [2]


def test_a_table_that_cannot_be_had_for_a_while_is_seen_again(lake: Lake) -> None:
    """A look that fails spoils none of those after it."""
    commit(lake, lake.snapshot(NAME), written(lake, DAY, [1]), {DAY})
    log = Path(lake.uri(NAME)) / "_delta_log"
    taken = log.with_name("_delta_log_taken")
    log.rename(taken)
    with pytest.raises(DeltaError):
        lake.snapshot(NAME)
    taken.rename(log)
    assert customers(lake) == [1]
