"""Upkeep of a table: its rows stay what they are, at every version within the retention; the rest goes."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from salesmart_assets.contracts import build_tables, load_contracts
from salesmart_assets.errors import AuditFailed
from salesmart_assets.lake import Lake, NewFile, upkeep
from salesmart_assets.lake.writer import PartitionWriter
from salesmart_assets.ledger import Ledger
from salesmart_assets.publish.database import open_database
from salesmart_assets.settings import Settings

NAME = "daily_customer_sales"
TABLES = build_tables(load_contracts())
RETENTION = timedelta(days=7)

Rows = list[tuple[object, ...]]


@dataclass
class Shop:
    """A lake of one table whose clock can be moved, and what its versions held: by version, how many days ago it was made."""

    root: Path
    settings: Settings
    held: dict[int, Rows] = field(default_factory=dict)
    made: dict[int, int] = field(default_factory=dict)
    orphans: dict[str, int] = field(default_factory=dict)
    days: int = 0
    customers: int = 0

    def __post_init__(self) -> None:
        self.ledger = Ledger(open_database(f"sqlite:///{self.root / 'ledger.db'}"))
        self.ledger.create()
        self.lake.create_tables()
        self.note()

    @property
    def lake(self) -> Lake:
        """Opened anew each time: nothing is remembered."""
        return Lake.open(self.settings, TABLES)

    @property
    def before(self) -> datetime:
        return datetime.now(timezone.utc) - RETENTION

    def rows(self, version: int | None = None) -> Rows:
        return sorted(tuple(row.values()) for row in self.lake.snapshot(NAME, version).read().to_pylist())

    def note(self) -> None:
        version = self.lake.snapshot(NAME).version
        self.held.setdefault(version, self.rows())
        self.made.setdefault(version, self.days)

    def write(self, day: int, count: int) -> list[NewFile]:
        table, found = TABLES[NAME], []
        for _ in range(count):
            self.customers += 1
            values = {"sales_date": date(2026, 8, day), "customer_id": self.customers, "total_sales": Decimal("1.50"), "orders": 1}
            with PartitionWriter(self.lake, table, uuid.uuid4().hex) as writer:
                writer.write(pa.Table.from_pylist([{name: values[name] for name in table.names}], table.arrow))
            found += writer.files
        return found

    def replace(self, day: int, count: int) -> None:
        """Replace a slice with so many files."""
        base = self.lake.snapshot(NAME)
        slice_ = f"2026-08-{day:02}"
        new, old = self.write(day, count), [f for f in base.files if f.value("sales_date") == slice_]
        with self.ledger.writer.hold() as lease:
            self.lake.committer(NAME).commit(
                base, new, old, slice_column="sales_date", slices={slice_}, run_id="test", lease=lease, notes={"salesmart.basis": slice_}
            )
        self.note()

    def crash(self, day: int, count: int) -> None:
        """A run writes files and dies before it commits them."""
        self.orphans |= {file.path: self.days for file in self.write(day, count)}

    def pass_days(self, count: int) -> None:
        self.days += count
        for path in self.root.rglob("*"):
            if path.is_file():
                then = path.stat().st_mtime - count * 86400
                os.utime(path, (then, then))

    def join(self) -> None:
        with self.ledger.writer.hold() as lease:
            snapshot = self.lake.snapshot(NAME)
            groups = upkeep.small_files(snapshot)
            if groups:
                new = upkeep.write_joined(self.lake, snapshot, groups)
                upkeep.commit_joined(self.lake, snapshot, groups, new, "upkeep", lease)
                assert upkeep.small_files(self.lake.snapshot(NAME)) == []
                assert self.lake.notes(self.lake.snapshot(NAME)).get("salesmart.basis") == self.lake.notes(snapshot).get("salesmart.basis")
        self.note()

    def tidy(self) -> None:
        """A checkpoint, and all that is out of retention away."""
        if upkeep.has_grown(self.lake, NAME):
            upkeep.write_checkpoint(self.lake, NAME)
        upkeep.remove(self.lake, NAME, upkeep.unread_files(self.lake, NAME, self.before, ()))
        upkeep.forget_log(self.lake, NAME, self.before)

    def check(self) -> None:
        assert self.rows() == self.held[max(self.held)]
        versions = sorted(self.held)
        for version, following in zip(versions, [*versions[1:], None], strict=True):
            # It stood until the next one was made.
            if following is None or self.days - self.made[following] < RETENTION.days:
                assert self.rows(version) == self.held[version], f"version {version}"
        for path, since in self.orphans.items():
            if self.days - since < RETENTION.days:
                info = self.lake.filesystem.get_file_info(f"{self.lake.path(NAME)}/{path}")
                assert info.type is pafs.FileType.File, "a run may still commit it"


deeds = st.lists(
    st.one_of(
        st.tuples(st.just("replace"), st.integers(1, 3), st.integers(0, 4)),
        st.tuples(st.just("crash"), st.integers(1, 3), st.integers(1, 2)),
        st.tuples(st.just("pass_days"), st.integers(1, 9)),
        st.tuples(st.sampled_from(["join", "tidy"])),
    ),
    min_size=4,
    max_size=14,
)


def test_no_history_of_upkeep_changes_what_a_version_holds() -> None:
    """Whatever is written, lost and joined in between, upkeep keeps the rows of every version within the retention, to the last one."""
    seen: set[str] = set()

    @examples(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @example([("replace", 1, 2), ("pass_days", 8), ("replace", 1, 1), ("tidy",), ("pass_days", 3), ("tidy",)])
    @given(deeds)
    def run(history: list[tuple[object, ...]]) -> None:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr(upkeep, "_COMMITS", 2)
            shop = Shop(Path(folder), Settings.load(home=Path(folder)))
            for name, *arguments in history:
                getattr(shop, str(name))(*arguments)
                seen.add(str(name))
                if name in ("join", "tidy"):
                    shop.check()
            shop.join()
            shop.tidy()
            shop.check()
            shop.pass_days(20)
            shop.tidy()
            shop.check()
            left = {
                str(p.relative_to(shop.lake.uri(NAME))) for p in Path(shop.lake.uri(NAME)).rglob("*.parquet") if "_delta_log" not in str(p)
            }
            assert left == {file.path for file in shop.lake.snapshot(NAME).files}
            shop.ledger.engine.dispose()

    run()
    assert seen == {"replace", "crash", "pass_days", "join", "tidy"}


@pytest.fixture
def store() -> Iterator[str]:
    """The address of an S3 store with a bucket for the lake."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="k" * 8, aws_secret_access_key="s" * 8)
    client.create_bucket(Bucket="lake")
    client.close()
    yield address
    server.stop()


def test_upkeep_of_a_table_on_s3(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an S3 store upkeep joins files, sums up the log, and removes what no version shows, as on a disk."""
    keys = {"s3_access_key_id": "k" * 8, "s3_secret_access_key": "s" * 8}
    monkeypatch.setattr(upkeep, "_COMMITS", 2)
    shop = Shop(tmp_path, Settings.load(home=tmp_path, lake="s3://lake/upkeep", s3_endpoint_url=store, **keys))
    shop.replace(1, 3)
    shop.replace(1, 4)
    shop.crash(2, 1)
    assert len(shop.lake.snapshot(NAME).files) == 4
    shop.join()
    assert len(shop.lake.snapshot(NAME).files) == 1
    assert upkeep.unread_files(shop.lake, NAME, shop.before, ()) == []
    upkeep.write_checkpoint(shop.lake, NAME)
    shop.check()
    later = datetime.now(timezone.utc) + timedelta(minutes=1)
    claimed = next(iter(shop.orphans))
    gone = upkeep.unread_files(shop.lake, NAME, later, {claimed})
    assert len(gone) == 3 + 4
    upkeep.remove(shop.lake, NAME, gone)
    assert upkeep.forget_log(shop.lake, NAME, later) == 3
    assert shop.rows() == shop.held[3]
    assert [info.path.rsplit("/", 1)[-1] for info in upkeep.unread_files(shop.lake, NAME, later, ())] == [claimed.rsplit("/", 1)[-1]]
    shop.ledger.engine.dispose()


def test_joined_files_that_hold_other_rows_are_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is lost, doubled or changed on the way into a larger file stops the commit."""
    shop = Shop(tmp_path, Settings.load(home=tmp_path))
    shop.replace(1, 3)
    snapshot = shop.lake.snapshot(NAME)
    whole = PartitionWriter.write

    def changed(writer: PartitionWriter, rows: pa.Table) -> None:
        place = rows.schema.get_field_index("orders")
        whole(writer, rows.set_column(place, "orders", pa.array([2] * rows.num_rows)))

    for spoilt in (changed, lambda writer, rows: whole(writer, pa.concat_tables([rows, rows])), lambda writer, rows: None):
        with monkeypatch.context() as patch:
            patch.setattr(PartitionWriter, "write", spoilt)
            with pytest.raises(AuditFailed, match="holds other rows"):
                upkeep.write_joined(shop.lake, snapshot, upkeep.small_files(snapshot))
    assert shop.lake.snapshot(NAME).version == snapshot.version
    shop.ledger.engine.dispose()
