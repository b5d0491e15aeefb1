"""Publication: all or nothing, exactly the lake's rows, and only what changed is written."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from salesmart_assets.contracts import build_tables, load_contracts
from salesmart_assets.errors import AuditFailed, Permanent, Retryable
from salesmart_assets.publish import Publisher, SliceLoad, open_database, read_table
from salesmart_assets_tests.conftest import MariaDb
from salesmart_assets_tests.publish.samples import (
    EVERY_TYPE,
    MEMBERS,
    NOVEMBER,
    OCTOBER,
    TABLES,
    TEAM,
    Lake,
    every_type,
    load,
    member_load,
    team_load,
)

ODD_TEXTS = [
    None,
    "",
    "\\N",
    "NULL",
    "\\",
    "\\\\t",
    "a\tb\nc\r\nd\re",
    "nul\0nul",
    "\x1a ctrl-z",
    "quotes ' \" ` ; -- %s %(x)s :name ?",
    "ends in blanks   ",
    "Ærøskøbing 東京 👩‍👩‍👧 \U0010fffd",
    "e\u0301 is not \u00e9",
    "\ufeffmark",
    "=" * 100_000,
]


@pytest.fixture(params=["sqlite", "load_data", "insert"])
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    """A new database: SQLite, and MariaDB with and without bulk load."""
    if request.param == "sqlite":
        yield open_database(f"sqlite:///{tmp_path / 'marts.db'}")
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    server.execute("DROP DATABASE IF EXISTS publishing", f"SET GLOBAL local_infile = {int(request.param == 'load_data')}")
    yield open_database(server.url("publishing"))
    server.execute("SET GLOBAL local_infile = 1")


@pytest.fixture(params=["compared", "followed"])
def known(request: pytest.FixtureRequest) -> Callable[[SliceLoad], SliceLoad]:
    """Loads as they are, so that every row in the database is compared; and loads that tell what was published before."""
    return Lake() if request.param == "followed" else lambda made: made


Known = Callable[[SliceLoad], SliceLoad]


def test_rows_read_back_exactly(engine: sa.Engine) -> None:
    """Every value of every type reads back as it was: long decimals, odd texts, NULL and empty, the first and last day."""
    rows = [every_type(i, note=text) for i, text in enumerate(ODD_TEXTS)]
    amounts = ["12345678901234567.89", "-0.01", "0", "-99999999999999999999999999.99"]
    rows += [every_type(100 + i, amount=Decimal(text)) for i, text in enumerate(amounts)]
    fines = ["9999999999999999999999999999.9999999999", "99999.9999999999"]
    rows += [every_type(110 + i, fine=Decimal(text)) for i, text in enumerate(fines)]
    rows += [every_type(120, day=date(1, 1, 1)), every_type(121, day=date(9999, 12, 31)), every_type(122, is_fresh=False)]
    rows += [every_type(130, seen_at=datetime(9999, 12, 31, 23, 59, 59, 999999, timezone.utc)), every_type(2**63 - 1), every_type(-(2**63))]
    rows.append(dict.fromkeys(EVERY_TYPE.names) | {"sales_month": date(2026, 11, 1), "customer_id": 140})
    made = load(EVERY_TYPE, rows)
    (publication,) = Publisher(engine, TABLES).publish([made], "run-1")
    read = read_table(engine, EVERY_TYPE)
    assert read == made.read().sort_by("customer_id")
    assert publication.rows == publication.changed_rows == len(rows)
    assert publication.sums["amount"] == sum(row["amount"] or 0 for row in rows)


def test_many_rows_arrive(engine: sa.Engine) -> None:
    """More rows than one batch of the load holds."""
    made = load(EVERY_TYPE, [every_type(i) for i in range(20_500)])
    (publication,) = Publisher(engine, TABLES).publish([made], "run-1")
    assert (publication.rows, publication.sums["amount"]) == (20_500, Decimal("252150.00"))
    assert read_table(engine, EVERY_TYPE, order_by=["-customer_id"], limit=1)["customer_id"].to_pylist() == [20_499]


def test_the_same_rows_again_change_nothing(engine: sa.Engine, known: Known) -> None:
    """Publishing equal rows again writes no row of the mart."""
    publisher = Publisher(engine, TABLES)
    publisher.publish([known(team_load(5)), known(member_load(5))], "run-1")
    again = publisher.publish([known(team_load(5, version=2)), known(member_load(5, version=2))], "run-2")
    assert [p.changed_rows for p in again] == [0, 0]
    assert publisher.published() == {("team", NOVEMBER): 2, ("dim_member", "all"): 2}


def test_only_what_changed_is_written(engine: sa.Engine, known: Known) -> None:
    """One row changed, one is gone, one is new: three rows; even where the change is a blank at the end of a text."""
    publisher = Publisher(engine, TABLES)
    publisher.publish([known(load(EVERY_TYPE, [every_type(i) for i in range(10)])), known(team_load(1))], "run-1")
    rows = [every_type(i) for i in range(9)] + [every_type(10)]
    rows[3]["note"] += " "
    written: list[str] = []

    @sa.event.listens_for(engine, "after_cursor_execute")
    def count(connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("INSERT", "LOAD", "DELETE")) and " every_type" in statement:
            written.append(f"{statement.split(maxsplit=1)[0]} {cursor.rowcount}")

    made = known(load(EVERY_TYPE, rows, 2))
    (publication, _) = publisher.publish([made, known(team_load(1, version=2))], "run-2")
    assert (publication.changed_rows, publication.rows) == (3, 10)
    assert publication.sums["amount"] == 10 * Decimal("12.30")
    assert {line.split()[1] for line in written} == {"2"}, "two are taken out, and two are put in"
    assert read_table(engine, EVERY_TYPE) == made.read().sort_by("customer_id")


@pytest.mark.parametrize("column", ["note", "amount", "fine", "is_fresh", "day", "seen_at"])
def test_null_is_a_value_of_its_own(engine: sa.Engine, known: Known, column: str) -> None:
    """That a value is absent now, or was, is a change; an absent text is not an empty one."""
    publisher = Publisher(engine, TABLES)
    values = [every_type(1)[column], None, "" if column == "note" else None, every_type(1)[column]]
    for version, value in enumerate(values):
        made = known(load(EVERY_TYPE, [every_type(0), every_type(1, **{column: value})], version))
        (publication,) = publisher.publish([made], "run")
        same = version and value == values[version - 1]
        assert publication.changed_rows == (0 if same else 1 if version else 2)
        assert read_table(engine, EVERY_TYPE) == made.read()


def test_other_months_stay_as_they_are(engine: sa.Engine, known: Known) -> None:
    """A slice is replaced whole, and only it; a month without rows is empty."""
    publisher = Publisher(engine, TABLES)
    publisher.publish([known(team_load(1)), known(team_load(2, month=OCTOBER))], "run-1")
    (publication,) = publisher.publish([known(team_load(0, sellers=0, version=2))], "run-2")
    assert (publication.rows, publication.changed_rows, publication.sums) == (0, 3, {"total_sales": Decimal(0)})
    assert set(read_table(engine, TEAM)["sales_month"].to_pylist()) == {date(2026, 10, 1)}
    assert publisher.published() == {("team", NOVEMBER): 2, ("team", OCTOBER): 1}


def test_a_month_that_lost_its_last_row_is_emptied(engine: sa.Engine, known: Known) -> None:
    """Such a month comes from the engine as a batch without rows; alone or beside another month, it is published."""
    publisher = Publisher(engine, TABLES)
    publisher.publish([known(team_load(1)), known(team_load(1, month=OCTOBER))], "run-1")
    for version, others in ((2, [known(team_load(2, month=OCTOBER, version=2))]), (3, [])):
        rows = pa.Table.from_batches([pa.RecordBatch.from_pylist([], schema=TEAM.arrow)])
        emptied = known(replace(team_load(0, sellers=0, version=version), read=lambda rows=rows: rows))
        publisher.publish([emptied, *others], f"run-{version}")
        assert set(read_table(engine, TEAM)["sales_month"].to_pylist()) == {date(2026, 10, 1)}


def test_an_older_version_never_replaces_a_newer_one(engine: sa.Engine) -> None:
    """What was read from the lake before is skipped and not listed; what comes with it is published all the same."""
    publisher = Publisher(engine, TABLES)
    publisher.publish([team_load(7, version=7)], "run-1")
    done = publisher.publish([team_load(6, version=6), member_load(6, version=6)], "run-2")
    assert [p.mart for p in done] == ["dim_member"]
    assert set(read_table(engine, TEAM)["total_sales"].to_pylist()) == {Decimal(7)}


def test_a_publication_is_on_record(engine: sa.Engine) -> None:
    """Who published what, when, with how many rows and which sums can be asked in SQL."""
    (made,) = Publisher(engine, TABLES).publish([team_load(5)], "run-1")
    with engine.connect() as connection:
        (row,) = connection.execute(sa.text("SELECT mart, slice, lake_version, row_count, sums, changed_rows, run_id FROM publication"))
    assert tuple(row) == ("team", NOVEMBER, 1, 3, '{"total_sales": "15.00"}', 3, "run-1")
    assert abs(datetime.now(timezone.utc) - made.published_at).total_seconds() < 60


@pytest.mark.parametrize("column", ["amount = amount + 1", "note = 'other'", "day = '2026-01-01'", "is_fresh = NULL"])
@pytest.mark.parametrize("way", ["empty", "compared", "followed"])
def test_one_row_changed_on_the_way_stops_the_publication(engine: sa.Engine, column: str, way: str) -> None:
    """17. Totals reconcile from file to staging to fact to mart to database, or nothing is published."""
    publisher = Publisher(engine, TABLES)
    known = Lake() if way == "followed" else lambda made: made
    standing = [] if way == "empty" else [every_type(i) for i in range(5)]
    publisher.publish([known(team_load(1)), known(load(EVERY_TYPE, standing))], "run-1")
    was = read_table(engine, EVERY_TYPE), read_table(engine, TEAM)

    @sa.event.listens_for(engine, "after_cursor_execute")
    def tamper(connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
        # Lost on the way: as if a trigger, a driver or the server had changed one row of what was just written.
        if statement.startswith(("INSERT INTO every_type", "LOAD DATA LOCAL")) and " every_type " in statement:
            cursor.connection.cursor().execute(f"UPDATE every_type SET {column} WHERE customer_id = 2")

    rows = [every_type(i, amount=Decimal(9)) for i in range(5)]
    with pytest.raises(AuditFailed, match=f"every_type {NOVEMBER}: what .* is not what the lake holds at version 2"):
        publisher.publish([known(team_load(2, version=2)), known(load(EVERY_TYPE, rows, 2))], "run-2")
    assert (read_table(engine, EVERY_TYPE), read_table(engine, TEAM)) == was
    assert set(publisher.published().values()) == {1}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE every_type SET note = 'typo' WHERE customer_id = 2",
        "DELETE FROM every_type WHERE customer_id < 2",
        "DELETE FROM every_type",
    ],
)
def test_what_was_changed_by_hand_is_put_right(engine: sa.Engine, known: Known, change: str) -> None:
    """What somebody else wrote into a mart, or took out of it, is put right by the next publication, and only that is written."""
    publisher = Publisher(engine, TABLES)
    rows = [every_type(i) for i in range(5)]
    publisher.publish([known(load(EVERY_TYPE, rows))], "run-1")
    with engine.begin() as connection:
        touched = connection.execute(sa.text(change)).rowcount
    made = known(load(EVERY_TYPE, [*rows[:4], every_type(4, note="later")], 2))
    (publication,) = publisher.publish([made], "run-2")
    assert publication.changed_rows == min(touched + 1, 5)
    assert read_table(engine, EVERY_TYPE) == made.read()


@pytest.mark.parametrize("value", ["amount + 0.004", "amount - 0.0000001", "'no number'"])
def test_a_decimal_that_is_none_is_put_right(tmp_path: Path, known: Known, value: str) -> None:
    """On SQLite, which stores anything anywhere, a number with places that its column has not, or none at all, is a difference."""
    engine = open_database(f"sqlite:///{tmp_path / 'marts.db'}")
    publisher = Publisher(engine, TABLES)
    made = known(load(EVERY_TYPE, [every_type(i, amount=Decimal(i) / 4) for i in range(5)]))
    publisher.publish([made], "run-1")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE every_type SET amount = {value} WHERE customer_id IN (0, 3)")
    assert publisher.difference(made)
    (publication,) = publisher.publish([made], "run-2")
    assert (publication.changed_rows, publisher.difference(made)) == (2, "")
    assert read_table(engine, EVERY_TYPE) == made.read()


def test_another_charset_is_no_difference(mariadb: MariaDb) -> None:
    """A table that somebody gave another character set holds the same texts, and is published to as before."""
    engine = open_database(mariadb.url(f"charset_{uuid.uuid4().hex}"))
    publisher = Publisher(engine, TABLES)
    publisher.publish([load(EVERY_TYPE, [every_type(i, note="né") for i in range(3)])], "run-1")
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE every_type CONVERT TO CHARACTER SET latin1")
    made = load(EVERY_TYPE, [every_type(i, note="né" if i else "où") for i in range(4)], 2)
    assert publisher.publish([made], "run-2")[0].changed_rows == 2
    assert publisher.difference(made) == ""
    assert read_table(engine, EVERY_TYPE) == made.read()


def test_a_record_that_is_not_true_is_not_relied_on(engine: sa.Engine) -> None:
    """If what is on record as published is not what the lake had then, all rows are compared, and the lake's stand in the end."""
    lake, other = Lake(), Lake()
    Publisher(engine, TABLES).publish([lake(load(EVERY_TYPE, [every_type(i) for i in range(5)]))], "run-1")
    # Another lake's rows under the same version and file name: none of the two has the rows in between.
    other(load(EVERY_TYPE, [every_type(i, note="never there") for i in range(5)]))
    made = other(load(EVERY_TYPE, [every_type(i, note="never there" if i else "new") for i in range(5)], 2))
    (publication,) = Publisher(engine, TABLES).publish([made], "run-2")
    assert publication.changed_rows == 5
    assert read_table(engine, EVERY_TYPE) == made.read()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE publication SET sums = 'none', fingerprint = 'none'",
        "UPDATE publication SET sums = '[1]'",
        'UPDATE publication SET sums = \'{"amount": "much"}\'',
        "ALTER TABLE publication DROP COLUMN lake_version",
        "ALTER TABLE publication DROP COLUMN row_count",
        "ALTER TABLE publication DROP COLUMN sums",
    ],
)
def test_a_record_that_makes_no_sense_is_not_relied_on(engine: sa.Engine, change: str) -> None:
    """What somebody else wrote into the record of publications, or took out of it, keeps no publication from being made."""
    lake, rows = Lake(), [every_type(i) for i in range(5)]
    Publisher(engine, TABLES).publish([lake(load(EVERY_TYPE, rows))], "run-1")
    with engine.begin() as connection:
        connection.exec_driver_sql(change)
    publisher = Publisher(engine, TABLES)
    assert publisher.published().keys() <= {("every_type", NOVEMBER)}
    made = lake(load(EVERY_TYPE, [*rows[:4], every_type(4, note="later")], 2))
    (publication,) = publisher.publish([made], "run-2")
    assert publication.changed_rows == 1
    assert read_table(engine, EVERY_TYPE) == made.read()
    assert publisher.published() == {("every_type", NOVEMBER): 2}


@pytest.mark.parametrize("text", ["2026-11", "", "20261101"])
def test_rows_of_no_slice_are_told(tmp_path: Path, text: str) -> None:
    """On SQLite, which keeps any text as a date, rows that are of no month are told with what to do, not passed over."""
    engine = open_database(f"sqlite:///{tmp_path / 'marts.db'}")
    publisher = Publisher(engine, TABLES)
    publisher.publish([team_load(2)], "run-1")
    assert (TEAM.name, NOVEMBER) in publisher.slices()
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {TEAM.name} SET sales_month = :text"), {"text": text})
    with pytest.raises(Permanent, match=f"{TEAM.name} has rows in the database whose sales_month is '{text}', which is no date"):
        publisher.slices()


def test_what_was_compared_stays_until_the_commit(engine: sa.Engine) -> None:
    """Nobody can change a row between its comparison and the commit; who tries waits, and gives up."""
    Publisher(engine, TABLES).publish([team_load(1)], "run-1")
    seconds = "PRAGMA busy_timeout = 100" if engine.dialect.name == "sqlite" else "SET innodb_lock_wait_timeout = 1"
    ended: list[str] = []

    def spoil(step: str) -> None:
        if step == "publish.before_commit":
            with engine.connect() as connection:
                connection.exec_driver_sql(seconds)
                with pytest.raises(sa.exc.OperationalError, match=r"locked|Lock wait timeout"):
                    connection.execute(sa.text("DELETE FROM team WHERE sales_person_id = 1"))
                connection.invalidate()
            ended.append(step)

    publisher = Publisher(engine, TABLES, on_step=spoil)
    assert [p.changed_rows for p in publisher.publish([team_load(1, version=2)], "run-2")] == [0]
    assert ended
    assert read_table(engine, TEAM) == team_load(1).read()


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"amount": Decimal("1" * 27)}, "amount of the row sales_month=2026-11-01, customer_id=1 does not fit decimal"),
        ({"amount": Decimal("0.001")}, "amount of the row sales_month=2026-11-01, customer_id=1 does not fit decimal"),
        ({"customer_id": None}, "customer_id of the row sales_month=2026-11-01, customer_id=None is required, but absent"),
        ({"customer_id": 2}, "the key sales_month=2026-11-01, customer_id=2 is there 2 times"),
        ({"sales_month": date(2026, 10, 1)}, "sales_month of the row .* is not 2026-11-01: the row belongs to another slice"),
    ],
)
def test_a_row_that_does_not_fit_is_named(database_url: str, row: dict[str, Any], complaint: str) -> None:
    """A value that does not fit its column stops the publication, with the row's key in the message."""
    rows = pa.Table.from_pylist(
        [every_type(0), every_type(1) | row, every_type(2)],
        schema=pa.schema([f if f.name != "amount" else pa.field("amount", pa.decimal128(38, 4)) for f in EVERY_TYPE.arrow]),
    )
    publisher = Publisher(open_database(database_url), TABLES)
    with pytest.raises(AuditFailed, match=complaint):
        publisher.publish([team_load(1), SliceLoad(EVERY_TYPE, NOVEMBER, 1, lambda: rows)], "run-1")
    assert publisher.published() == {}


@pytest.mark.parametrize("bulk", [1, 0])
@pytest.mark.parametrize("before", [0, 3])
def test_a_value_that_the_database_does_not_take_is_named(mariadb: MariaDb, bulk: int, before: int) -> None:
    """What only the database knows not to fit stops the publication too, with the key, and without repeating the value."""
    mariadb.execute("DROP DATABASE IF EXISTS narrow", f"SET GLOBAL local_infile = {bulk}")
    try:
        engine = open_database(mariadb.url("narrow"))
        publisher = Publisher(engine, TABLES)
        publisher.publish([load(EVERY_TYPE, [every_type(i) for i in range(before)])], "run-1")
        mariadb.execute("ALTER TABLE narrow.every_type MODIFY note VARCHAR(8)")
        with pytest.raises(
            AuditFailed, match=r"the row sales_month=2026-11-01, customer_id=1500 as it is .its note does not fit"
        ) as caught:
            publisher.publish([load(EVERY_TYPE, [every_type(i, note="secret" * (1 + (i == 1500))) for i in range(2000)], 2)], "run-2")
        assert "secret" not in str(caught.value)
        assert publisher.published() == {("every_type", NOVEMBER): 1}
        assert read_table(engine, EVERY_TYPE).num_rows == before
    finally:
        mariadb.execute("SET GLOBAL local_infile = 1")


def test_nonsense_is_refused(database_url: str) -> None:
    """Floats for money, missing columns, an unknown mart, a slice given twice or badly named: nothing is published."""
    publisher = Publisher(open_database(database_url), [TEAM, MEMBERS])
    floats = team_load(1).read()
    floats = floats.set_column(2, "total_sales", floats["total_sales"].cast(pa.float64()))
    for loads, complaint in (
        ([SliceLoad(TEAM, NOVEMBER, 1, lambda: floats)], "money is decimal all the way"),
        ([SliceLoad(TEAM, NOVEMBER, 1, lambda: floats.drop(["total_sales"]))], "comes without the columns total_sales"),
        ([load(EVERY_TYPE, [])], "every_type is not among the published tables"),
        ([team_load(1), team_load(2)], "team 2026-11-01 is to be published twice at once"),
        ([load(TEAM, [], name="all")], "team is published by sales_month, not whole"),
        ([load(TEAM, [], name="november")], "'november' is no slice of team"),
        ([load(MEMBERS, [], name=NOVEMBER)], "dim_member is published whole"),
    ):
        with pytest.raises(Permanent, match=complaint):
            publisher.publish(loads, "run-1")
    assert publisher.publish([], "run-1") == []


def test_every_real_mart_and_dimension_can_be_published(database_url: str) -> None:
    """The tables made from the packaged contracts work on every database, empty and with a row of NULLs where they may be."""
    tables = build_tables(load_contracts())
    published = [*tables.group("marts"), *(t for t in tables.group("warehouse") if t.name.startswith("dim_"))]
    engine = open_database(database_url)
    values = {"integer": 1, "date": date(2026, 11, 1), "string": "x", "boolean": False}
    loads = []
    for table in published:
        row = {c.name: None if c.nullable else values.get(c.type.name, Decimal(1)) for c in table.columns}
        loads.append(load(table, [row], name=NOVEMBER if table.partition_by else "all"))
    Publisher(engine, published).publish(loads, "run-1")
    for made in loads:
        assert read_table(engine, made.table) == made.read()
    assert {p.changed_rows for p in Publisher(engine, published).publish(loads, "run-2")} == {0}


def test_a_reader_never_sees_a_half(engine: sa.Engine, request: pytest.FixtureRequest) -> None:
    """18. A reader of a mart never sees a gap, a half-loaded or a mixed state."""
    wanted = 1_000 if request.node.callspec.params["engine"] == "load_data" else 200
    lake, publisher = Lake(), Publisher(engine, TABLES)

    def publish(total: int) -> None:
        loads = [team_load(total, 3 + total % 2, total), member_load(total, version=total)]
        # October comes and goes; every third time all rows are compared, else what changed is followed.
        loads.append(team_load(total, 5 * (total % 2), total, OCTOBER))
        publisher.publish(loads if total % 3 == 0 else [lake(made) for made in loads], f"run-{total}")

    def one_mart(connection: sa.Connection) -> set[int]:
        rows = connection.execute(sa.text("SELECT sales_month, total_sales FROM team")).all()
        total = int(rows[0][1])
        assert len(rows) == 3 + total % 2 + 5 * (total % 2), rows
        return {int(row[1]) for row in rows}

    def two_marts(connection: sa.Connection) -> set[int]:
        members = connection.execute(sa.text("SELECT price FROM dim_member")).all()
        versions = connection.execute(sa.text("SELECT lake_version FROM publication")).all()
        assert (len(members), len(versions)) == (2, 3)
        return one_mart(connection) | {int(row[0]) for row in (*members, *versions)}

    publish(1)
    stop, total = threading.Event(), 1
    failures: list[BaseException] = []
    seen: dict[str, list[int]] = {"one": [], "two": []}

    def read(name: str, look: Callable[[sa.Connection], set[int]]) -> None:
        try:
            with engine.connect() as connection:
                while not stop.is_set():
                    with connection.begin():
                        (state,) = look(connection)
                    seen[name].append(state)
        except BaseException as error:  # noqa: BLE001 - reported by the assertion
            failures.append(error)

    readers = [threading.Thread(target=read, args=args) for args in (("one", one_mart), ("two", two_marts))]
    for reader in readers:
        reader.start()
    try:
        while not failures and (total <= 20 or min(map(len, seen.values())) < wanted):
            total += 1
            publish(total)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert failures == []
    for states in seen.values():
        assert len(states) >= wanted
        assert states == sorted(states)
        assert len(set(states)) >= 10


def test_two_publishers_take_turns(engine: sa.Engine) -> None:
    """Two publishers at once: both succeed one after the other, and the newest version stands."""
    publishers = [Publisher(engine, TABLES) for _ in range(2)]
    publishers[0].ensure_schema()
    failures: list[Exception] = []

    def publish(which: int) -> None:
        for version in range(1 + which, 13, 2):
            try:
                publishers[which].publish([team_load(version, version=version), member_load(version, version=version)], "run")
            except Exception as error:  # noqa: BLE001 - reported by the assertion
                failures.append(error)

    threads = [threading.Thread(target=publish, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(read_table(engine, TEAM)["total_sales"].to_pylist()) == {Decimal(12)}
    assert publishers[0].published() == {("team", NOVEMBER): 12, ("dim_member", "all"): 12}


def test_a_publisher_does_not_wait_for_ever(engine: sa.Engine) -> None:
    """While another publication is under way, a second one says whom it waits for, and gives up after its time; who only looks goes on."""
    ended: list[str] = []
    said: list[str] = []
    who = (
        "is held by somebody else"
        if engine.dialect.name == "sqlite"
        else r"Another publisher \(user salesmart from \S+, connection \d+\) has"
    )

    def try_too(step: str) -> None:
        if step == "publish.before_commit":
            with pytest.raises(Retryable, match=f"{who}.*Run again later"):
                Publisher(engine, TABLES, lock_seconds=0.3, waiting=said.append).publish([team_load(9, version=9)], "run-2")
            assert Publisher(engine, TABLES, lock_seconds=0.3).published() == {}
            assert len(said) == (engine.dialect.name != "sqlite")
            ended.append(step)

    Publisher(engine, TABLES, on_step=try_too).publish([team_load(1)], "run-1")
    assert ended
    assert set(read_table(engine, TEAM)["total_sales"].to_pylist()) == {Decimal(1)}


def test_no_side_table_is_left(engine: sa.Engine) -> None:
    """After a publication, good or bad, the next one meets no leftovers and readers see none."""
    publisher = Publisher(engine, TABLES, on_step=lambda _: None)
    failing = Publisher(engine, TABLES, on_step=lambda step: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failing.publish([team_load(1)], "run-1")
    publisher.publish([team_load(1)], "run-1")
    names = sa.inspect(engine).get_table_names()
    assert sorted(names) == ["dim_member", "every_type", "publication", "team"]
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.execute(sa.text("SELECT * FROM side_team"))
